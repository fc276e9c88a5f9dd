# Checks of a script that ends with totals as Check's programs print them. To be sourced; for the scripts that tests/run
# runs beside those programs.
checks=0
failures=0

# check NAME COMMAND...: one check; what the command says is shown where it fails.
check() {
    local name=$1 output status=0
    shift
    checks=$((checks + 1))
    output=$("$@" 2>&1) || status=$?
    [[ $status -eq 0 ]] && return
    failures=$((failures + 1))
    printf 'FAILED: %s (exit status %d)\n%s\n' "$name" "$status" "$output"
}

# nothing TEXT: succeeds where there is none, shows it otherwise.
nothing() {
    printf '%s' "$1"
    [[ -z $1 ]]
}

# same A B: two texts; shows how they differ.
same() {
    diff <(printf '%s\n' "$1") <(printf '%s\n' "$2")
}

# The last line; its status is the script's.
totals() {
    printf '%d%%: Checks: %d, Failures: %d, Errors: 0\n' $(((checks - failures) * 100 / (checks ? checks : 1))) \
        "$checks" "$failures"
    [[ $failures -eq 0 && $checks -gt 0 ]]
}

# Of an archive: the global symbols that it defines, those that it wants from outside, and what it could keep state in.
defined_in() {
    nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u
}
wanted_by() {
    comm -13 <(defined_in "$1") <(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u)
}
state_of() {
    nm "$1" | awk '$2 ~ /^[DdBbCVvuSs]$/'
}
