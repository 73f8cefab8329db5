#!/bin/sh
# Runs the tests, with the race detector where cgo and a C compiler are present. CI=true
# requires it. Arguments go to go test; without a package among them all are tested.
set -eu

race=-race
# Building these two is exactly what the race detector needs: a supported platform, cgo,
# a C compiler and its headers. The result is cached.
if why=$(go build -race runtime/cgo runtime/race 2>&1); then
	echo "testing with the race detector" >&2
else
	why=$(printf '%s\n' "$why" | grep -v '^#' | head -n 1)
	if [ "${CI:-}" = true ]; then
		echo "CI=true requires the race detector, which cannot be built here: $why; install a C compiler with its headers (Debian: gcc libc6-dev)" >&2
		exit 1
	fi
	race=
	echo "testing without the race detector: $why" >&2
fi

packages=./...
for arg; do
	case $arg in ./* | ../* | github.com/*) packages= ;; esac
done
# shellcheck disable=SC2086 # both are one word or none
exec go test $race "$@" $packages
