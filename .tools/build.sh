#!/bin/sh
# Builds bin/patchbay, bin/patchbay-adapter-NAME for each folder of plugins/, and the
# smallest example as a plugin. Go decides what is out of date.
set -eu

export CGO_ENABLED=0
# Go asks git for the version to stamp in, and fails where git refuses to answer.
if ! git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
	export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"
fi
ext=$(go env GOEXE)
[ -x "bin/patchbay$ext" ] || echo "building into bin/ (the first time this takes a minute or two)"

# One go command compiles what all of them share; the others only link.
build() { go build -trimpath -o "bin/$1$ext" "$2"; }
build patchbay ./core/cmd/patchbay
for dir in plugins/*/; do
	name=$(basename "$dir")
	[ -d "plugins/$name" ] || continue
	build "patchbay-adapter-$name" "./plugins/$name"
done
build patchbay-adapter-minimal ./examples/minimal
