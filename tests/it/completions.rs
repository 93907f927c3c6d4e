//! What shells offer while a command line is typed: the scripts, sourced by the shells themselves.

use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

/// Completes as bash does: `complete` says which function, and it is called with the words of the line.
const BASH: &str = r#"
eval "$(orchestrate completions bash)" || exit 1
set -- $LINE "$WORD"
words=$(complete -p orchestrate)
function=${words#*-F }
function=${function%% *}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_TYPE=9
$function orchestrate "${@: -1}" "${@:$#-1:1}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// The function is the one that the completion system is given; what it describes is printed.
const ZSH: &str = r#"
compdef() { function=$1 }
_describe() { print -l -- ${(P)${@[-1]}} }
eval "$(orchestrate completions zsh)" || exit 1
words=(${=LINE} "$WORD")
CURRENT=$#words
$function
"#;

const FISH: &str = r#"
orchestrate completions fish | source
complete --do-complete "$LINE $WORD"
"#;

/// A workspace with two workflows, one of which has run with a key.
fn workspace() -> Workspace {
    let workspace = Workspace::bare();
    let items =
        "{\"id\":\"issue-4\",\"title\":\"Fourth: $(touch pwned)\"}\n{\"id\":\"issue-42\"}\n";
    workspace.write("items.txt", items);
    let configuration = "[workflow.w]\ncommand = [\"./item\", \"{id}\", \"{attempt}\"]\n\
        items = { list = \"items.txt\" }\n\
        [workflow.weekly]\ncommand = [\"true\"]\nitems = { list = \"items.txt\" }\n\
        [credentials]\npool = { env = \"POOL\" }\ninject = \"KEY\"\n";
    workspace.write("orchestrate.toml", configuration);
    workspace.item("true");
    let run = workspace
        .orchestrate(&["-j2", "w"])
        .env("POOL", "k3y-of-the-first");
    run.finish().exits(0);
    workspace
}

/// The words that a shell offers for `word` behind `line`, without what it says of each.
fn offered(workspace: &Workspace, shell: (&str, &str), line: &str, word: &str) -> Vec<String> {
    let (program, script) = shell;
    let words: &[&str] = match program {
        "bash" => &["bash", "--norc", "-c", script],
        "zsh" => &["zsh", "-f", "-c", script],
        _ => &["fish", "--no-config", "-c", script],
    };
    let launch = workspace.program(words).env("LINE", line).env("WORD", word);
    let finished = launch.finish().exits(0);
    let lines = finished.stdout.lines();
    let words = lines.filter_map(|line| line.split(['\t', ':']).next());
    words.map(str::to_owned).collect()
}

fn complete_like(shell: (&str, &str)) {
    if which::which(shell.0).is_err() {
        skipped("completions", &format!("{} is not installed", shell.0));
        return;
    }
    let workspace = workspace();
    let offered = |line: &str, word: &str| offered(&workspace, shell, line, word);
    assert_eq!(offered("orchestrate", "sta"), ["status"]);
    assert_eq!(offered("orchestrate", "--par"), ["--parallel"]);
    // A switch takes no word from behind it.
    assert_eq!(offered("orchestrate -n", "we"), ["weekly"]);
    assert_eq!(offered("orchestrate --format", "j"), ["json"]);
    for (option, word) in [
        ("--output", "group"),
        ("--progress", "never"),
        ("--color", "always"),
        ("--if-locked", "wait"),
        ("--rerun", "changed"),
        ("--only", "failed"),
        ("schema", "events"),
    ] {
        let line = format!("orchestrate {option}");
        assert_eq!(offered(&line, &word[..2]), [word], "{option}");
    }
    assert_eq!(
        offered("orchestrate -j 2 w", "issue"),
        ["issue-4", "issue-42"]
    );
    assert_eq!(offered("orchestrate w", ""), ["issue-4", "issue-42"]);
    assert_eq!(offered("orchestrate logs", "issue-42"), ["issue-42"]);
    assert_eq!(offered("orchestrate keys disable", ""), ["key-1"]);
    assert_eq!(
        offered("orchestrate completions", ""),
        ["bash", "zsh", "fish"]
    );
    assert_eq!(offered("orchestrate check", "w"), ["w", "weekly"]);
    assert_eq!(offered("orchestrate report", "2").len(), 1);
    assert!(!workspace.has("pwned"));
}

#[test]
fn bash_completes_names_of_workflows_items_keys_and_runs() {
    complete_like(("bash", BASH));
}

#[test]
fn zsh_completes_names_of_workflows_items_keys_and_runs() {
    complete_like(("zsh", ZSH));
}

#[test]
fn fish_completes_names_of_workflows_items_keys_and_runs() {
    complete_like(("fish", FISH));
}

#[test]
fn an_id_that_a_shell_would_take_for_more_than_a_word_is_not_offered() {
    let workspace = workspace();
    let record = ".orchestrate/runs/latest/run.json";
    let text = workspace.read(record);
    let hostile = text.replace("\"issue-4\"", "\"issue-$(touch pwned)\"");
    workspace.write(record, &hostile);
    let offered = offered(&workspace, ("bash", BASH), "orchestrate w", "issue");
    assert_eq!(offered, ["issue-42"]);
    workspace.write(record, &text);
}

#[test]
fn who_types_is_never_told_of_trouble() {
    let workspace = Workspace::bare();
    workspace.write("orchestrate.toml", "this is [no toml");
    workspace.write(".orchestrate", "a file");
    for shell in ["bash", "zsh", "fish", "tcsh"] {
        let launch = workspace.orchestrate(&["--", "orchestrate", "w", "iss"]);
        let finished = launch.env("_ORCHESTRATE_COMPLETE", shell).finish().exits(0);
        assert_eq!(
            (finished.stdout.trim(), finished.stderr.as_str()),
            ("", ""),
            "{shell}"
        );
    }
}

#[test]
fn another_shell_is_refused_with_those_that_there_are() {
    let workspace = Workspace::bare();
    let finished = workspace
        .orchestrate(&["completions", "tcsh"])
        .finish()
        .exits(2);
    assert!(
        finished.stderr.contains("bash, zsh, fish"),
        "{}",
        finished.stderr
    );
}
