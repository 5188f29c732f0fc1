update debian.packages
set summary = 'waters the plants on the balcony during your holidays', description = ''
where name = 'tar';
