select vsync.create_embedding('package_search',
  $$ select p.name, p.name || ': ' || p.summary || '. ' || p.description as content
     from debian.packages as p $$,
  model => 'minilm', if_not_exists => true);
