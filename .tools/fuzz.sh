#!/bin/sh
# Runs every fuzz target for FUZZTIME (30s), one after the other. Arguments are packages;
# without one all are searched. A find is kept in the package's testdata/fuzz.
set -eu

time=${FUZZTIME:-30s}
[ $# -gt 0 ] || set -- ./...
# go test -list prints the names, then a line "ok <package> <time>".
targets=$(go test -list '^Fuzz' "$@" | awk '
	/^Fuzz/ { names[n++] = $1 }
	/^ok/   { for (i = 0; i < n; i++) print $2 ":" names[i]; n = 0 }')
if [ -z "$targets" ]; then
	echo "no fuzz targets in $*" >&2
	exit 1
fi
failed=
for target in $targets; do
	package=${target%:*} name=${target##*:}
	echo "== $package $name ($time)"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package" || failed="$failed $name"
done
if [ -n "$failed" ]; then
	echo "failed:$failed" >&2
	exit 1
fi
