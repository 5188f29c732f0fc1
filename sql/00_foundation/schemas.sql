create schema vsync;
comment on schema vsync is 'vsync: keeps vector embeddings fresh. Public functions, procedures and views; see \df+ vsync.* and \dv+ vsync.*';
create schema vsync_internal;
comment on schema vsync_internal is 'vsync: tables and internals, not an interface';
create schema vsync_data;
comment on schema vsync_data is 'vsync: vector tables, document views and render functions, one set a version';
