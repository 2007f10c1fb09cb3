#!/bin/sh
# stops what start-cluster.sh started; --help tells more.
set -eu
bin=$(dirname "$(readlink -f "$0")")
[ -x "$bin/perennial" ] || { echo "$0: there is no program $bin/perennial; in a checkout, make build makes it" >&2; exit 1; }
exec "$bin/perennial" cluster stop "$@"
