//! Images of nginx, PostgreSQL and Redis: Debian's programs, started as the official images start theirs. The entry point is
//! root, gives the data to the user of the tool, and becomes that user.

use std::fs;
use std::path::Path;

use crate::docker::Docker;

/// The image below the others.
const BASE: &str = "tools-base:1";
/// Users as the images of these tools have them, not as Debian numbers them.
const USERS: &str = "root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
postgres:x:999:999::/var/lib/postgresql:/bin/bash
redis:x:998:998::/data:/usr/sbin/nologin
";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\npostgres:x:999:\nredis:x:998:\n";

const NGINX: &str = r#"FROM tools-base:1
RUN mkdir -p /run /var/log/nginx /var/lib/nginx /var/www/html \
    && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log \
    && rm -f /etc/nginx/sites-enabled/* /etc/nginx/modules-enabled/* && echo '<h1>Welcome to nginx</h1>' >/var/www/html/index.html \
    && printf 'server { listen 80; listen [::]:80; root /var/www/html; }' >/etc/nginx/conf.d/default.conf \
    && sed -i 's,error_log .*,error_log /dev/stderr notice;,' /etc/nginx/nginx.conf
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"#;

const POSTGRES: &str = r#"FROM tools-base:1
ENV PGDATA /var/lib/postgresql/data
RUN mkdir -p "$PGDATA" /run/postgresql && chown -R postgres:postgres /var/lib/postgresql /run/postgresql && chmod 777 "$PGDATA"
COPY entry.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
"#;

/// What the official one does, without its further settings: while the data is made, the server listens on no port.
const POSTGRES_ENTRY: &str = r#"#!/bin/bash
set -e
programs=$(echo /usr/lib/postgresql/*/bin)
export PATH="$programs:$PATH"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"; chmod 00700 "$PGDATA"
    find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
    find /run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    [ -n "$POSTGRES_PASSWORD" ] || { echo 'Error: superuser password is not specified' >&2; exit 1; }
    initdb --username="${POSTGRES_USER:=postgres}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --locale=C.UTF-8 --no-sync
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    [ "${POSTGRES_DB:=$POSTGRES_USER}" = postgres ] \
        || psql -U "$POSTGRES_USER" -d postgres -v ON_ERROR_STOP=1 -c "CREATE DATABASE \"$POSTGRES_DB\""
    pg_ctl -D "$PGDATA" -m fast -w stop
    echo 'PostgreSQL init process complete; ready for start up.'
fi
exec "$@" -c listen_addresses='*'
"#;

const REDIS: &str = r#"FROM tools-base:1
RUN mkdir -p /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
COPY entry.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 6379
CMD ["redis-server", "--protected-mode", "no", "--appendonly", "yes"]
"#;

const REDIS_ENTRY: &str = r#"#!/bin/sh
set -e
if [ "$1" = 'redis-server' -a "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
exec "$@"
"#;

/// Makes the three images, under the names that the catalog has for the official ones.
///
/// # Panics
/// When the engine refuses; the message says what to run when the archive below them is missing.
pub fn images(docker: &Docker) {
    base(docker);
    docker.build("nginx:1", NGINX, &[]);
    docker.build("postgres:17", POSTGRES, &[("entry.sh", POSTGRES_ENTRY)]);
    docker.build("redis:8", REDIS, &[("entry.sh", REDIS_ENTRY)]);
}

fn base(docker: &Docker) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images/root.tar");
    let archive = fs::read(archive).expect("the root of the tools' images: run `cargo xtask parts`");
    docker.import("tools-root:1", &archive, &[]);
    // What the packages' own scripts would make, which are not run.
    let file = "FROM tools-root:1\nCOPY passwd group /etc/\nRUN rm -rf /var/run && ln -s /run /var/run\nENV LANG C.UTF-8\n";
    docker.build(BASE, file, &[("passwd", USERS), ("group", GROUPS)]);
    assert!(NGINX.contains(BASE), "the images stand on it");
}
