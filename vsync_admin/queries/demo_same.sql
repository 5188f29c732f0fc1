update debian.packages set summary = summary where section = 'games';
