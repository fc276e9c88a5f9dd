# Runs commands side by side, as many as there are processors, and adds up what they say: `passed` and `failed`. To be
# sourced by tests/run and tests/release, whose `pattern` chooses programs by name.
#
# Each command has a folder of its own as TMPDIR, which must be empty at its end, and leads a session of its own. What
# still runs of the session when the command has ended, or when all is stopped by a signal, is killed.
passed=0
failed=0
jobs=$(nproc)
failures=()          # what failed and how, in a line or a few each, to be said again at the end
wrapper=()           # words before each program, as `setarch -R`
scratch=$(mktemp -d) # N.log and the folder N of the Nth command
begun=0
declare -A running=() # process that leads a session -> its N
title=() limit=() since=() # by N

trap 'stop_all; rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*"; }

# launch LOG COMMAND...: in the background, in a session that `leader` leads: a shell, which outlives any signal that ends
# the command, because bash may forget a job of its own that died by one. It also makes its jobs deaf to Ctrl-C.
launch() {
    local log=$1
    shift
    # shellcheck disable=SC2016 # for that shell
    setsid bash -c 'env --default-signal=INT,QUIT "$@"; exit $?' launch "$@" >"$log" 2>&1 </dev/null &
    leader=$!
}

# members SESSION...: the processes of these sessions, whatever process groups they have made.
members() {
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | # some may be gone by now
        awk -v sessions=" $* " '{ id = $1; sub(/^.*\) /, ""); if ($1 != "Z" && index(sessions, " " $4 " ")) print id }'
}

# empty SECONDS SESSION...: whether nothing runs there any more, now or some time later.
empty() {
    local tries=$(($1 * 10))
    shift
    while [[ -n $(members "$@") ]]; do
        [[ $((tries--)) -gt 0 ]] || return
        sleep 0.1
    done
}

# send SIGNAL SESSION...: to all that runs there.
send() {
    local ids
    ids=$(members "${@:2}")
    # shellcheck disable=SC2086 # one word a process
    [[ -z $ids ]] || kill "-$1" $ids 2>/dev/null
}

# end SESSION...: kills what is there, even what is being started meanwhile.
end() {
    while send KILL "$@"; ! empty 1 "$@"; do :; done
}

# What is asked to end may remove its files and end what it has started.
stop_all() {
    trap '' HUP INT TERM
    [[ ${#running[@]} -gt 0 ]] || return
    send TERM "${!running[@]}"
    empty 10 "${!running[@]}" || end "${!running[@]}"
    wait
} 2>/dev/null

# count_in LOG STATUS: sets checks and bad by the last line of totals, "100%: Checks: 12, Failures: 0, Errors: 0". A
# program that died, ran out of time or ran nothing has one failure more.
count_in() {
    local line
    line=$(grep -aE '^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$1" | tail -n 1)
    checks=$(sed -E 's/.*Checks: ([0-9]+).*/\1/' <<<"$line")
    bad=$(sed -E 's/.*Failures: ([0-9]+), Errors: ([0-9]+).*/\1 + \2/' <<<"$line")
    checks=$((${checks:-0})) bad=$((${bad:-0}))
    if [[ $checks -eq 0 || ($2 -ne 0 && $bad -eq 0) ]]; then
        bad=$((bad + 1)) checks=$((checks + 1))
    fi
}

# fail WHAT [LOG]: a failed check that is no program's, and what was written meanwhile.
fail() {
    failed=$((failed + 1))
    say "FAILED $1"
    [[ $# -eq 1 ]] || tail -n 60 "$2"
    remember "$@"
}

# remember TITLE [LOG]: for the end, with Check's lines for what failed, or else the last ones.
remember() {
    local lines=
    if [[ $# -gt 1 ]]; then
        lines=$(grep -aE '^[^ ]+:[0-9]+:[FE]:' "$2" | head -n 5)
        lines=$(cut -c 1-300 <<<"${lines:-$(tail -n 3 "$2")}")
    fi
    failures+=("$1${lines:+$'\n'    ${lines//$'\n'/$'\n'    }}")
}

# judge TITLE LOG STATUS SECONDS NOTE FAULT...: the command's line, and what it wrote if it failed, after the note. Each
# fault that is not empty is a failed check more.
judge() {
    local checks bad fault note=$5
    count_in "$2" "$3"
    for fault in "${@:6}"; do
        [[ -n $fault ]] && checks=$((checks + 1)) bad=$((bad + 1)) note+=${note:+; }$fault
    done
    passed=$((passed + checks - bad))
    failed=$((failed + bad))
    printf '%-50s %4d checks, %d failed %5d s\n' "$1" "$checks" "$bad" "$4"
    if [[ $bad -ne 0 ]]; then
        [[ -n $note ]] && say "($note)"
        tail -n 60 "$2"
        remember "$1${note:+ ($note)}" "$2"
    fi
}

# begin LIMIT TITLE COMMAND...: as soon as a processor is free, under a time limit of seconds.
begin() {
    while [[ ${#running[@]} -ge $jobs ]]; do
        finish_one
    done
    begun=$((begun + 1))
    title[$begun]=$2 limit[$begun]=$1 since[$begun]=$SECONDS
    mkdir "$scratch/$begun"
    launch "$scratch/$begun.log" env TMPDIR="$scratch/$begun" timeout --kill-after=10 "$1" "${wrapper[@]}" "${@:3}"
    running[$leader]=$begun
}

# Waits for a command to end, whichever is first, and judges it.
finish_one() {
    local leader number status=0 note='' left='' files
    wait -n -p leader "${!running[@]}" || status=$?
    number=${running[$leader]}
    if ! empty 5 "$leader"; then
        left="it left processes running"
        end "$leader"
    fi
    unset "running[$leader]"
    files=$(ls -A "$scratch/$number")
    [[ $status -eq 124 ]] && note="stopped after ${limit[$number]} seconds"
    [[ $status -gt 128 ]] && note="ended by signal $((status - 128))"
    judge "${title[$number]}" "$scratch/$number.log" "$status" $((SECONDS - since[number])) "$note" "$left" \
        "${files:+it left in TMPDIR: ${files//$'\n'/ }}"
    rm -rf "${scratch:?}/$number" "$scratch/$number.log"
}

# All that has begun is judged when this returns.
settle() {
    while [[ ${#running[@]} -gt 0 ]]; do
        finish_one
    done
}

# One make, by itself; its failure counts as a failed test: what could not be built has not passed.
build() {
    local name=$1 leader status=0
    settle
    say "== build: $name ($SECONDS s)"
    launch "$scratch/build.log" make -j"$jobs" --no-print-directory WERROR=1 "${@:2}"
    running[$leader]=build
    wait "$leader" || status=$?
    unset "running[$leader]"
    if [[ $status -ne 0 ]]; then
        fail "to build: $name" "$scratch/build.log"
        return 1
    fi
}

# wanted PROGRAM...: those whose name matches, in programs. What is no program is passed over; what is missing has failed.
wanted() {
    local program
    programs=()
    for program in "$@"; do
        # shellcheck disable=SC2053 # a pattern it is
        [[ ${program##*/} == $pattern ]] || continue
        if [[ ! -e $program ]]; then
            fail "to find $program"
        elif [[ -x $program ]]; then
            programs+=("$program")
        fi
    done
}

# run LIMIT PROGRAM...: begins each of them.
run() {
    local program programs
    wanted "${@:2}"
    for program in "${programs[@]}"; do
        begin "$1" "${program#build/}" "$program"
    done
}

# about_processors PROGRAM...: of KVM tests, all but those that only talk to the VMM, or draw: from another processor there
# is nothing to learn for these. In programs.
about_processors() {
    local program
    programs=()
    for program in "$@"; do
        [[ ${program##*/} == @(control_*|launch_refused|ptstat_plot|ptdump) ]] || programs+=("$program")
    done
}

# run_nested NAME PROGRAM...: each on an emulated machine that has KVM, see hw/README.md. What chooses the machine is in
# the environment.
run_nested() {
    local name=$1 folder=$scratch/nested programs pending number leader
    settle
    wanted "${@:2}"
    [[ ${#programs[@]} -gt 0 ]] || return
    say "== $name ($SECONDS s)"
    mkdir -p "$folder/tmp"
    mkfifo "$folder/ended"
    launch "$folder/log" env TMPDIR="$folder/tmp" sh -c 'exec "$@" >"$0"' "$folder/ended" \
        tests/hw/nested/run "$folder" "${programs[@]}"
    running[$leader]=nested
    pending=("${!programs[@]}")
    while read -r number; do
        judge_nested $((number - 1))
        unset "pending[$((number - 1))]"
    done <"$folder/ended"
    if ! wait "$leader"; then
        fail "to keep an emulated machine of $name running" "$folder/log"
    else
        grep "does not come up" "$folder/log" | sed 's/$/: started again/'
    fi
    for number in "${pending[@]}"; do
        judge_nested "$number"
    done
    unset "running[$leader]"
    rm -rf "$folder"
}

# judge_nested INDEX: of programs, from 0.
judge_nested() {
    local status=1 seconds=0 note="the machine ended before it did" log=$folder/$(($1 + 1))
    touch "$log.log"
    if read -r status seconds 2>/dev/null <"$log.status"; then
        note="exit status $status after $seconds seconds in there"
    fi
    judge "${programs[$1]##*/} on $name" "$log.log" "$status" "$seconds" "$note"
}

# What failed, once more, so that nobody has to look for it; and the last line. Its status is the script's.
totals() {
    settle
    if [[ ${#failures[@]} -gt 0 ]]; then
        say "== failed ($SECONDS s)"
        printf '%s\n' "${failures[@]}"
    fi
    say "$passed passed, $failed failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}
