update debian.packages set maintainer = 'Somebody Else';
