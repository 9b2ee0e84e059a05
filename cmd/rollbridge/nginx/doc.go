// Package nginx holds the checks of rollbridge behind a real nginx, with the
// site that is shipped, packaging/nginx/rollbridge.conf: everything that may come
// through, during deploys and restarts of the daemon too, and the failures that
// docs/nginx.md explains, each made and cured. They run inside test hosts, with
// the versions of nginx that Debian 12 and 13 have.
package nginx
