#!/bin/sh
# starts the JobManagers of conf/masters and the TaskManagers of conf/workers; --help tells more.
set -eu
bin=$(dirname "$(readlink -f "$0")")
[ -x "$bin/perennial" ] || { echo "$0: there is no program $bin/perennial; in a checkout, make build makes it" >&2; exit 1; }
exec "$bin/perennial" cluster start "$@"
