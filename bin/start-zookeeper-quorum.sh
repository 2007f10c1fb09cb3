#!/bin/sh
# starts the ZooKeeper servers of conf/zoo.cfg; --help tells more.
set -eu
home=$(dirname "$(dirname "$(readlink -f "$0")")")
if [ ! -x "$home/bin/perennial" ]; then
  echo "$0: there is no program $home/bin/perennial; in a checkout, make build makes it" >&2
  exit 1
fi
exec "$home/bin/perennial" quorum start "$@"
