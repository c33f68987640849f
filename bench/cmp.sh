#!/bin/sh
# Compares the benchmarks of the working tree with those of another revision:
#
#	bench/cmp.sh BASE ONLY BENCHTIME ROUNDS
#
# Both are built before anything is measured, and take turns, so that both meet what
# the machine does meanwhile.
set -eu
cd "$(dirname "$0")/.."
base=$1 only=$2 benchtime=$3 rounds=$4

tmp=$(mktemp -d)
cleanup() {
	git worktree remove --force "$tmp/tree" 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM

fail() {
	echo "benchcmp: $*" >&2
	exit 1
}

git worktree add --quiet --detach "$tmp/tree" "$base"
about="base is $(git -C "$tmp/tree" log -1 --format='%h, %s'); head is the working tree"
go -C "$tmp/tree" test -c -o "$tmp/base.test" .
go test -c -o "$tmp/head.test" .
git worktree remove --force "$tmp/tree"

order='base head'
for round in $(seq "$rounds"); do
	echo "round $round of $rounds: $order" >&2
	for side in $order; do
		"$tmp/$side.test" -test.run '^$' -test.bench "$only" -test.benchtime "$benchtime" >"$tmp/run.txt" ||
			fail "$side failed: $(cat "$tmp/run.txt")"
		grep -q '^Benchmark' "$tmp/run.txt" ||
			fail "$side has no benchmark that matches '$only': $about"
		cat "$tmp/run.txt" >>"$tmp/$side.txt"
	done
	if [ "$order" = 'base head' ]; then order='head base'; else order='base head'; fi
done

echo "$about"
go -C bench tool benchstat "base=$tmp/base.txt" "head=$tmp/head.txt"
