#!/bin/busybox sh
# wget as busybox has it, and -T SEC: give up when nothing was read for so long. Debian's busybox crashes on -T, so the
# option is taken out of the arguments, and wget is watched from here.

seconds=
left=$#
keep=0 # How many of the next words are values of an option: taken as they are.
while [ "$left" -gt 0 ]; do
	word=$1
	shift
	left=$((left - 1))
	letters=${word#-}
	while case $letters in [cqS]?*) true ;; *) false ;; esac; do
		letters=${letters#?}
	done
	if [ "$keep" -gt 0 ]; then
		keep=$((keep - 1))
		set -- "$@" "$word"
		continue
	fi
	case $word in
	--) keep=$left ;;
	--header | --post-data | --post-file | --user-agent) keep=1 ;;
	--timeout=*)
		seconds=${word#*=}
		continue
		;;
	-[!-]*)
		case $letters in
		[OoPUYt]) keep=1 ;;
		T*)
			seconds=${letters#T}
			word=${word%"$letters"}
			if [ -z "$seconds" ] && [ "$left" -gt 0 ]; then
				seconds=$1
				shift
				left=$((left - 1))
			fi
			[ "$word" = - ] && continue
			;;
		esac
		;;
	esac
	set -- "$@" "$word"
done
[ -z "$seconds" ] && exec /bin/busybox wget "$@"
case $seconds in
*[!0-9]* | 0)
	echo "wget: -T wants seconds, not '$seconds'" >&2
	exit 1
	;;
esac

/bin/busybox wget "$@" &
pid=$!
trap 'kill $pid 2>/dev/null' TERM INT HUP
last= quiet=0
# A tenth of a second at a time, so that a quick answer is not kept waiting.
while kill -0 $pid 2>/dev/null; do
	read -r _ now </proc/$pid/io 2>/dev/null || now=
	[ "$now" = "$last" ] || quiet=0
	last=$now
	if [ $quiet -ge $((seconds * 10)) ]; then
		{ kill $pid && wait $pid; } 2>/dev/null
		echo "wget: download timed out" >&2
		exit 1
	fi
	quiet=$((quiet + 1))
	usleep 100000
done
wait $pid
