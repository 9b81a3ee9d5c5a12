# shellcheck shell=bash disable=SC2154 # main and more come from testnet.sh, link_*, cid_* and size_* from share_one
# demo.sh: `testnet.sh demo`, sourced by testnet.sh. Five daemons; the first shares the Go toolchain's own source tree and a
# large random file; the others fetch both at once. One of them is killed half way and resumes; then the first is stopped and
# a sixth fetches from the rest. Every copy is compared with the original. Prints a table; fails if anything differs.

demo_bytes=$((512 << 20)) # of the random file
demo_need=$((6 << 20))    # KiB free for seven copies of it and six of the tree
demo_limit=180            # seconds for any one wait

step() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }
mb() { printf '%s' $((($1 + 500000) / 1000000)); }

# free_kib DIR prints how much room a file system has.
free_kib() { df -Pk "$1" | { read -r _ && read -r _ _ _ free _ && printf '%s' "$free"; }; }

# ram_kib prints how much memory is left for files on a RAM disk.
ram_kib() {
	local name value
	while read -r name value _; do
		[ "$name" != MemAvailable: ] || printf '%s' "$value"
	done </proc/meminfo
}

# demo_place makes the directory that the demo works in: on a RAM disk where one has room, as disks vary.
demo_place() {
	local base=${TMPDIR:-/tmp}
	if [ -w /dev/shm ] && [ "$(free_kib /dev/shm)" -ge $demo_need ] && [ "$(ram_kib)" -ge $((demo_need + (2 << 20))) ]; then
		base=/dev/shm
	fi
	demo_sweep "$base"
	[ "$(free_kib "$base")" -ge $demo_need ] || die "the demo needs $((demo_need >> 20)) GiB free in $base; set TMPDIR to another place"
	work=$(mktemp -d "$base/shoal-demo.XXXXXX")
	note_pid "$work/owner" $$
}

# demo_sweep DIR clears away what a demo left that was itself ended by kill -9.
demo_sweep() {
	local old file
	for old in "$1"/shoal-demo.*/; do
		if [ ! -O "$old" ] || [ ! -e "$old/owner" ] || alive "$old/owner" >/dev/null; then
			continue
		fi
		for file in "$old"[0-9]*/pid; do
			[ ! -e "$file" ] || end "$file" KILL
		done
		chmod -R u+w "$old"
		rm -rf "$old"
	done
}

# demo_end stops everything and keeps the logs.
demo_end() {
	local code=$? file
	trap '' INT TERM HUP
	undo
	for file in "$work"/*.get.pid; do
		[ -e "$file" ] && end "$file" TERM
	done
	rm -rf "$main/demo-logs"
	mv "$logs" "$main/demo-logs"
	cp "$work"/*.get "$work"/*.err "$main/demo-logs" 2>/dev/null || true
	chmod -R u+w "$work" # --preserve copies read-only directories as such
	rm -rf "$work"
	case $code in
	0) ;;
	130 | 143) say "demo: interrupted; everything is stopped and removed but for the logs in $main/demo-logs" ;;
	*) say "demo: failed; the logs are in $main/demo-logs" ;;
	esac
}

# fetch I WHAT LINK starts a get by peer I of the tree or the file to $work/I.WHAT; its output goes to $work/I.WHAT.get.
fetch() {
	shoal "$1" get --json -o "$work/$1.$2" "$3" </dev/null >"$work/$1.$2.get" 2>"$work/$1.$2.err" &
	note_pid "$work/$1.$2.get.pid" $!
}

last_line() { tail -n 1 "$work/$1.get" 2>/dev/null; }

# got I.WHAT prints the bytes that a fetch has verified so far.
got() {
	local line
	line=$(last_line "$1")
	if [[ $line == *'"event":"done"'* ]]; then field size "$line"; else field bytes "$line" || printf 0; fi
}

# is_done I.WHAT says whether a fetch has ended well. One that has not, but does not run any more, is an error.
is_done() {
	[[ $(last_line "$1") != *'"event":"done"'* ]] || return 0
	alive "$work/$1.get.pid" >/dev/null && return 1
	[[ $(last_line "$1") != *'"event":"done"'* ]] || return 0
	tail -n 5 "$work/$1.err" >&2
	die "the fetch $1 failed; the daemon's log is ${1%%.*}.log"
}

# await I.WHAT… waits for fetches, and shows how far they are about every two seconds.
await() {
	local name line deadline=$((SECONDS + demo_limit)) shown=$SECONDS all
	while :; do
		all=yes line=""
		for name in "$@"; do
			is_done "$name" && continue
			all=""
			line="$line  $name $(mb "$(got "$name")")"
		done
		[ -z "$all" ] || return 0
		[ $SECONDS -lt $deadline ] || die "these fetches did not end within $demo_limit s (MB):$line"
		if [ $((SECONDS - shown)) -ge 2 ]; then
			shown=$SECONDS
			step "  MB so far:$line"
		fi
		sleep 0.1
	done
}

# await_half I.WHAT SIZE waits until a fetch is half way, and prints the bytes that it has then.
await_half() {
	local n have
	for ((n = 0; n < demo_limit * 50; n++)); do
		! is_done "$1" || die "the fetch $1 was whole before it could be killed half way"
		have=$(got "$1")
		[ "$have" -lt $(($2 / 2)) ] || { printf '%s' "$have"; return 0; }
		sleep 0.02
	done
	die "the fetch $1 did not get half way within $demo_limit s"
}

# share_one WHAT FLAG… PATH shares by peer 1 and sets link_WHAT, cid_WHAT and size_WHAT.
share_one() {
	local line
	line=$(shoal 1 share --json "${@:2}") || die "peer 1 cannot share ${*: -1}"
	printf -v "link_$1" '%s' "$(field link "$line")"
	printf -v "cid_$1" '%s' "$(field cid "$line")"
	printf -v "size_$1" '%s' "$(field size "$line")"
	row 1 "$1" "$(field seconds "$line")" "$(field size "$line")" "shared in place, $(field chunks "$line") chunks" -
}

# listing DIR prints kind, mode, symlink target, path and, but for symlinks, modification time of all that is in a tree.
listing() {
	(cd "$1" && find . -type l -printf '%y %m %l %P\n' -o -printf '%y %m %T@ %P\n' | sort)
}

# compare I checks both copies of a peer against the originals.
compare() {
	local i
	for i in "$@"; do
		cmp "$work/random" "$work/$i.random" || die "peer $i has another random file"
		diff -r --no-dereference "$tree" "$work/$i.tree" >&2 || die "peer $i has another tree"
		listing "$work/$i.tree" | diff "$work/listing" - >&2 || die "peer $i has other modes or times in its tree"
		step "peer $i: both copies are byte for byte and mode for mode the originals"
	done
}

# row PEER WHAT SECONDS BYTES WHENCE TWICE adds a row to the table. MB/s is BYTES by SECONDS.
row() {
	local ms rate=-
	printf -v ms '%.3f' "$3"
	ms=$((10#${ms/./}))
	[ $ms -eq 0 ] || rate=$(($4 / ms / 1000))
	printf '%-5s %-7s %7.2f %6s  %-58s %s\n' "$1" "$2" "$3" "$rate" "$5" "$6" >>"$work/table"
}

# row_of I.WHAT adds the row of a fetch that is done: what it had, and what came from whom.
row_of() {
	local line part id from="" sum=0 had
	line=$(last_line "$1")
	[[ $line =~ \"from\":\{([^}]*)\} ]] || die "the fetch $1 does not tell from whom: $line"
	while IFS=: read -r -d , id part; do
		[ -n "$id" ] || continue
		id=${id//\"/}
		from="$from, $(mb "$part") from $(number_of "$id")"
		sum=$((sum + part))
	done <<<"${BASH_REMATCH[1]},"
	had=$(field had "$line")
	[ "$had" -eq 0 ] || from=", had $(mb "$had")$from"
	row "${1%%.*}" "${1#*.}" "$(field seconds "$line")" $sum "${from#, }" "$(field duplicate "$line")"
	fetched=$sum
}

# number_of ID prints which peer has an ID.
number_of() {
	local i
	for i in $(peers); do
		[ "$(cat "$state/$i/id")" != "$1" ] || printf '%s' "$i"
	done
}

# check_resume I.WHAT SIZE BEFORE proves that what was verified before the kill was not fetched again.
check_resume() {
	local line
	line=$(last_line "$1")
	row_of "$1"
	step "$1: verified before kill -9 at least $3, kept $(field had "$line"), fetched afterwards $fetched, in all $2 bytes"
	[ "$(field had "$line")" -ge "$3" ] || die "$1 lost verified bytes"
	[ $(($3 + fetched)) -le "$2" ] || die "$1 fetched verified bytes again"
}

demo() {
	local i link before_random before_tree resumed="tree random"
	open_state
	build
	tree=$(go env GOROOT)/src
	demo_place
	state=$work logs=$work/logs
	mkdir "$logs"
	trap demo_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	SECONDS=0

	step "five daemons in $work"
	launch 1
	ready 1
	for i in 2 3 4 5; do launch $i; done
	for i in 2 3 4 5; do ready $i; done

	step "peer 1 shares $tree (with --preserve) and a random file of $(mb $demo_bytes) MB"
	head -c $demo_bytes /dev/urandom >"$work/random"
	listing "$tree" >"$work/listing"
	share_one tree --preserve "$tree"
	share_one random "$work/random"
	step "peers 2 to 5 fetch both at once; $(mb "$size_tree") and $(mb "$size_random") MB"
	for i in 2 3 4 5; do
		fetch $i tree "$link_tree"
		fetch $i random "$link_random"
	done

	before_random=$(await_half 3.random "$size_random")
	before_tree=$(got 3.tree)
	! is_done 3.tree || resumed="random"
	end "$state/3/pid" KILL
	step "kill -9 of peer 3, which had verified $before_tree bytes of the tree and $before_random of the file"
	end "$work/3.random.get.pid" TERM
	end "$work/3.tree.get.pid" TERM
	launch 3
	ready 3
	step "peer 3 is back and fetches the rest"
	for i in $resumed; do
		link=link_$i
		fetch 3 "$i" "${!link}"
	done
	await 2.tree 2.random 3.tree 3.random 4.tree 4.random 5.tree 5.random
	check_resume 3.random "$size_random" "$before_random"
	if [ "$resumed" = random ]; then row_of 3.tree; else check_resume 3.tree "$size_tree" "$before_tree"; fi
	for i in 2 4 5; do
		row_of $i.tree
		row_of $i.random
	done
	compare 2 3 4 5

	end "$state/1/pid" TERM
	step "peer 1 is stopped; peer 6 starts and fetches both from the rest, by CID alone"
	launch 6
	ready 6
	fetch 6 tree "$cid_tree"
	fetch 6 random "$cid_random"
	await 6.tree 6.random
	row_of 6.tree
	row_of 6.random
	compare 6

	printf '\n%-5s %-7s %7s %6s  %-58s %s\n' peer what seconds MB/s "MB from whom" "bytes fetched twice"
	sort -s -n "$work/table"
	printf '\n'
	say "demo: all copies are the same, nothing verified was fetched again; $SECONDS s"
}
