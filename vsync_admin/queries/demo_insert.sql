insert into debian.packages
values ('sourdough', '1.0', 'misc', 'you', 'reminds you to feed the yeast before baking bread', '');
