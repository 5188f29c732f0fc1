delete from debian.packages where name = 'gzip';
