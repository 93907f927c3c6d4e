//! The per-item command of the tests: a POSIX shell script that writes down its start and its end.

/// What stands before the body of a test. It is called as `./item ID ATTEMPT …`, in the workspace's root.
///
/// - every line of the witness file is one `write` of far less than `PIPE_BUF` bytes to a file opened with `O_APPEND`;
/// - `announce WORDS` tells the test something;
/// - `meet WORDS` tells it, waits for its order and obeys: the order is shell code;
/// - `note SIGNAL…` writes down and announces these signals from now on, instead of dying by them;
/// - `linger WORDS` tells the test something and waits until a noted signal comes, even one that comes before the
///   shell has begun to wait; it leaves nothing behind;
/// - `die SIGNAL` dies by a signal, on the record;
/// - `retract` exits 0 and stands by it that the item is not done, on the record.
const PRELUDE: &str = r#"#!/bin/sh
item=$1 attempt=$2 sleeper=
witness() {
    echo "$1 $item $attempt $$ ${ORCHESTRATE_CREDENTIAL:--}${2:+ $2}" >>../witness
}
announce() {
    echo "$item $*" >arrivals
}
meet() {
    announce "$@"
    read -r order <"gate.$item"
    eval "$order"
}
note() {
    for signal in "$@"; do
        trap "witness signal $signal; announce $signal; wake" "$signal"
    done
}
linger() {
    sleep 100000 &
    sleeper=$!
    [ $# = 0 ] || announce "$@"
    wait "$sleeper"
    sleeper=
}
wake() {
    # A sleeper that is still a copy of this shell would take any other signal for its own affair.
    [ -z "$sleeper" ] || kill -s KILL "$sleeper" 2>/dev/null
    sleeper=
}
die() {
    witness exit "SIG$1"
    trap - EXIT
    kill -s "$1" $$
}
retract() {
    witness exit retracted
    trap - EXIT
    exit 0
}
trap 'witness exit $?' EXIT
witness start
"#;

/// The whole script.
pub(crate) fn item_script(body: &str) -> String {
    format!("{PRELUDE}{body}\n")
}
