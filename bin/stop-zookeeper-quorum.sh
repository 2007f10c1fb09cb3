#!/bin/sh
# stops the ZooKeeper servers of conf/zoo.cfg; --help tells more.
set -eu
bin=$(dirname "$(readlink -f "$0")")
[ -x "$bin/perennial" ] || { echo "$0: there is no program $bin/perennial; in a checkout, make build makes it" >&2; exit 1; }
exec "$bin/perennial" quorum stop "$@"
