#!/bin/sh
# Brings probe_pb.ts up to date with probe.proto. Run from anywhere; needs the project's packages.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
PATH="$root/node_modules/.bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$root/proto" "$work/proto"
mkdir -p "$work/proto/muin/probe/v1"
cp "$here/probe.proto" "$work/proto/muin/probe/v1/"
cp "$root/buf.yaml" "$work/"
cd "$work"
buf generate --path proto/muin/probe/v1/probe.proto --template '{"version":"v2","plugins":[{"local":"protoc-gen-es","out":"out","opt":["target=ts","import_extension=ts","erasable_syntax=true"]}]}'
sed 's#"\.\./\.\./platform/v1/#"../../../gen/muin/platform/v1/#; s#"\.\./\.\./\.\./\(buf\|google\)/#"../../../gen/\1/#' out/muin/probe/v1/probe_pb.ts >"$here/probe_pb.ts"
cd "$root"
bun fmt --no-script "$here/probe_pb.ts"
