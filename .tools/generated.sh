#!/bin/sh
# Generates code again and fails when that changed a file: it was out of date.
set -eu

sums() {
	grep -rlE --include='*.go' '^// Code generated .* DO NOT EDIT\.$' core adapters plugins examples 2>/dev/null | sort | xargs -r cksum
}
before=$(sums)
go generate ./...
after=$(sums)
if [ "$before" != "$after" ]; then
	echo "generated code was out of date and has been written again; commit it" >&2
	exit 1
fi
