#!/bin/sh
# Rewrites the golden traces of every adapter test that has an -update flag.
set -eu

packages=$(grep -rl --include='*_test.go' 'flag.Bool("update"' adapters | xargs -r -n 1 dirname | sort -u | sed 's,^,./,')
if [ -z "$packages" ]; then
	echo "no adapter test defines an -update flag" >&2
	exit 1
fi
# shellcheck disable=SC2086 # a word a package
exec go test $packages -run Golden -update
