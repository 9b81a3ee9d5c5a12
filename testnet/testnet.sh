#!/usr/bin/env bash
# testnet.sh: a network of shoal daemons on this machine, on loopback only. `testnet.sh help` lists the verbs.
#
# Each daemon is a process of its own with a directory $state/I (I from 1): home, pid, id and what it fetches; its log is
# $logs/I.log. A pid file holds the process ID and when that process started, so that an ID which the system has given to
# another process since is never signalled. Needs bash, coreutils, diffutils, findutils and Go.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
main=${SHOAL_TESTNET:-${TMPDIR:-/tmp}/shoal-testnet-$UID}
[[ $main == /* ]] || main=$PWD/$main
state=$main # where the daemons of this run live; demo has its own
logs=$main/logs
started=""                                                # the peers that this run started
for setting in "${!SHOAL_@}"; do # the user's own
	case $setting in SHOAL_TESTNET | SHOAL_BIN) ;; *) unset "$setting" ;; esac
done

# For the daemons, and for a verb that finds no daemon and runs a node of its own: nothing here leaves the machine.
export SHOAL_NETWORK=local SHOAL_LISTEN=/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1

usage() {
	cat <<TEXT
testnet.sh: a network of shoal daemons on this machine

  demo        the whole product in one run: share, swarm, kill -9, resume, compare
  up N        start peers 1 to N, those that do not run yet
  status      who runs, and what they have
  exec I …    shoal … with the home of peer I:  testnet.sh exec 2 get LINK
  kill I      kill -9 peer I
  restart I   stop peer I if it runs, and start it again
  down        stop all peers; homes and logs stay
  clean       down, and remove homes, logs and the binary
  lab NAME    daemons in network namespaces, told as it happens (Linux, root):
              nat, lan, partition, roam
  help        this text

State is in $main (SHOAL_TESTNET). SHOAL_BIN names a
binary to use instead of building one from this tree.
TEXT
}

say() { printf '%s\n' "$*"; }
die() {
	printf 'testnet.sh: %s\n' "$*" >&2
	exit 1
}

# open_state makes the state directory, which nobody else may write.
open_state() {
	(umask 077 && mkdir -p "$main")
	[ -O "$main" ] || die "$main belongs to another user; set SHOAL_TESTNET to another directory"
	mkdir -p "$main/bin" "$logs"
}

# lock keeps two runs from changing one state at once. The lock of a run that died is taken over.
lock() {
	local holder
	until ln -s "$$:$(started_at $$)" "$main/lock" 2>/dev/null; do
		holder=$(readlink "$main/lock") || continue
		[ "$(started_at "${holder%%:*}")" != "${holder#*:}" ] || die "another testnet.sh, process ${holder%%:*}, is at work in $main"
		rm -f "$main/lock"
	done
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	trap 'undo; rm -f "$main/lock"' EXIT
}

# build compiles the binary when a source is newer. The new one replaces the old in one step, as daemons may run it.
build() {
	bin=${SHOAL_BIN:-$main/bin/shoal}
	[ -z "${SHOAL_BIN:-}" ] || return 0
	local sources=("$here/../go.mod" "$here/../chunker" "$here/../cmd" "$here/../dht" "$here/../node" "$here/../transfer")
	if [ -x "$bin" ] && [ -z "$(find "${sources[@]}" -type f ! -name '*_test.go' -newer "$bin" -print -quit)" ]; then
		return 0
	fi
	command -v go >/dev/null || die "Go is needed to build shoal"
	say "building shoal" >&2 # not into the output of exec
	(cd "$here/.." && CGO_ENABLED=0 go build -o "$bin.$$" ./cmd/shoal) || die "shoal does not build"
	mv -f "$bin.$$" "$bin"
}

# started_at PID prints when a process started, in the system's own terms; nothing if there is none.
started_at() {
	local line
	if [ -r "/proc/$1/stat" ]; then
		{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
		line=${line##*) } # the name in parentheses may hold anything
		# shellcheck disable=SC2086 # split into the fields of proc(5); from state, the start is the 20th
		set -- $line
		[ "$1" = Z ] || printf '%s' "${20}"
	elif [ ! -d /proc/self ]; then
		ps -o lstart= -p "$1" 2>/dev/null || true
	fi
}

# note_pid FILE PID writes a pid file.
note_pid() { printf '%s %s\n' "$2" "$(started_at "$2")" >"$1"; }

# alive FILE prints the ID of the process that a pid file names, if it still runs.
alive() {
	local pid stamp
	[ -r "$1" ] && read -r pid stamp <"$1" || return 1
	[ -n "${stamp:-}" ] && [ "$(started_at "$pid")" = "$stamp" ] && printf '%s' "$pid"
}

# end FILE SIGNAL ends the process of a pid file and waits until it is gone; one that stays for 10 s gets SIGKILL.
end() {
	local pid n=0
	pid=$(alive "$1") || return 0
	kill "-$2" "$pid" 2>/dev/null || true
	while alive "$1" >/dev/null; do
		sleep 0.05
		n=$((n + 1))
		[ $n -ne 200 ] || { say "process $pid did not end within 10 s: kill -9"; kill -KILL "$pid" 2>/dev/null || true; }
	done
}

running() { alive "$state/$1/pid" >/dev/null; }
shoal() { "$bin" --home "$state/$1/home" "${@:2}"; }

# peers lists the numbers of all peers that were ever started, in order.
peers() {
	local d
	for d in "$state"/[0-9]*/; do
		[ -d "$d/home" ] && basename "$d"
	done | sort -n
}

# peer_number ARG checks a peer's number given by the user.
peer_number() {
	[[ $1 =~ ^[1-9][0-9]{0,3}$ ]] || die "$1 is not the number of a peer"
	[ -d "$state/$1/home" ] || die "there is no peer $1; \`testnet.sh up $1\` makes it"
}

# field NAME LINE prints a field of one line of shoal's JSON: a number, or a string without quotes and escapes in it.
field() {
	[[ $2 =~ \"$1\":(\"([^\"]*)\"|([^,}]*)) ]] || return 1
	printf '%s' "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
}

# launch I starts a daemon and returns at once. It joins through the first peer that runs.
launch() {
	local i=$1 other addr join=()
	for other in $(peers); do
		if [ "$other" != "$i" ] && [ -s "$state/$other/addr" ] && running "$other"; then
			read -r addr <"$state/$other/addr"
			join=(--bootstrap "$addr")
			break
		fi
	done
	mkdir -p "$state/$i/home"
	rm -f "$state/$i/addr"
	started="$started $i"
	nohup "$bin" --home "$state/$i/home" daemon ${join[@]+"${join[@]}"} </dev/null >>"$logs/$i.log" 2>&1 &
	note_pid "$state/$i/pid" $!
	disown # bash would report how it ended
}

# ready I waits until a daemon tells where it listens. Without a socket there is nobody to ask, and `id` would open the home
# itself, in the way of the daemon that is about to.
ready() {
	local i=$1 n line
	for ((n = 0; n < 600; n++)); do
		running "$i" || { tail -n 20 "$logs/$i.log" >&2; die "peer $i ended at once; its log is $logs/$i.log"; }
		if [ -S "$state/$i/home/api.sock" ] && line=$(shoal "$i" id --json 2>/dev/null) &&
			[[ $line =~ \"addrs\":\[\"([^\"]*/tcp/[^\"]*)\" ]]; then
			printf '%s\n' "${BASH_REMATCH[1]}" >"$state/$i/addr"
			field id "$line" >"$state/$i/id"
			return 0
		fi
		sleep 0.05
	done
	die "peer $i does not answer; its log is $logs/$i.log"
}

# undo ends what this run started and has not got to answer: it was interrupted, or failed.
undo() {
	local i pids=""
	for i in $started; do
		end "$state/$i/pid" TERM &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086 # one word a process
	[ -z "$pids" ] || wait $pids
}

up() {
	local n=${1:-} i new=""
	[[ $n =~ ^[1-9][0-9]{0,2}$ ]] || die "up needs the number of peers, 1 to 999"
	open_state
	lock
	build
	for ((i = 1; i <= n; i++)); do
		running "$i" && continue
		launch "$i"
		new="$new $i"
		[ -s "$state/1/addr" ] || ready "$i" # the others join through it
	done
	for i in $new; do
		ready "$i"
	done
	started=""
	if [ -z "$new" ]; then
		say "already up: $n peers"
	else
		say "up:$new (state and logs in $state)"
	fi
}

down() {
	local i n=0
	[ -d "$main" ] || { say "nothing is up"; return 0; }
	open_state
	lock
	for i in $(peers); do
		if running "$i"; then
			end "$state/$i/pid" TERM &
			n=$((n + 1))
		fi
	done
	wait
	if [ $n -eq 0 ]; then say "nothing is up"; else say "$n peers stopped"; fi
}

clean() {
	down
	rm -rf "$main"
	say "$main removed"
}

status() {
	local i line any=""
	build_if_any
	for i in $(peers); do
		[ -n "$any" ] || printf '%-5s %-8s %-8s %6s %7s %9s  %s\n' peer state pid peers shares MB id
		any=yes
		if ! running "$i"; then
			printf '%-5s %-8s\n' "$i" down
		elif line=$(shoal "$i" status --json 2>/dev/null); then
			printf '%-5s %-8s %-8s %6s %7s %9s  %s\n' "$i" up "$(alive "$state/$i/pid")" "$(field peers "$line")" \
				"$(field shares "$line")" "$(($(field shared_bytes "$line") / 1000000))" "$(field id "$line")"
		else
			printf '%-5s %-8s %-8s  log: %s\n' "$i" silent "$(alive "$state/$i/pid")" "$logs/$i.log"
		fi
	done
	[ -n "$any" ] || say "no peers; \`testnet.sh up 3\` makes some"
}

# build_if_any builds when there are peers to talk to.
build_if_any() { [ -z "$(peers)" ] || { open_state && build; }; }

# lab NAME runs the Go test that builds the network, and prints what it tells.
lab() {
	local name
	case ${1:-} in
	nat) name=NAT ;;
	lan) name=LabLAN ;;
	partition) name=LabPartition ;;
	roam) name=LabRoam ;;
	*) die "lab needs a name: nat, lan, partition or roam" ;;
	esac
	command -v go >/dev/null || die "Go is needed to run a lab"
	(cd "$here/.." && go test -count=1 -timeout 15m -v -run "^Test$name" ./testnet) |
		sed -n -e '/^=== /d' -e 's/^ *[a-z_]*_test\.go:[0-9]*: //' -e p
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
up | down | status | clean | lab) "$verb" "$@" ;;
exec)
	[ $# -ge 2 ] || die "exec needs a peer and a command"
	peer_number "$1"
	open_state
	build
	exec "$bin" --home "$state/$1/home" "${@:2}"
	;;
kill)
	[ $# -eq 1 ] || die "kill needs a peer"
	peer_number "$1"
	running "$1" || { say "peer $1 does not run"; exit 0; }
	end "$state/$1/pid" KILL
	say "peer $1 killed"
	;;
restart)
	[ $# -eq 1 ] || die "restart needs a peer"
	peer_number "$1"
	open_state
	lock
	build
	end "$state/$1/pid" TERM
	launch "$1"
	ready "$1"
	started=""
	say "peer $1 up"
	;;
demo)
	# shellcheck source=demo.sh source-path=SCRIPTDIR
	. "$here/demo.sh"
	demo
	;;
help | -h | --help) usage ;;
*)
	usage >&2
	die "there is no verb $verb"
	;;
esac
