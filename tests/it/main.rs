//! The real binary, run over real items: a file per subject, a test per fact.
//!
//! Every test works in a workspace of its own. Items meet the test at FIFOs and write down what they do; when a
//! workspace goes out of scope, one oracle holds what they wrote against the promises that hold always.

mod backpressure;
mod check;
mod children;
mod choice;
mod classify;
mod completions;
mod container;
mod containment;
mod crash;
mod credentials;
mod cron;
mod death;
mod disk;
mod display;
mod drain;
mod dry_run;
mod failures;
mod flow;
mod forecast;
mod github_actions;
mod hostile;
mod init;
mod journal;
mod junit;
mod keys;
mod launchers;
mod limits;
mod logs;
mod machine;
mod man;
mod masking;
mod output;
mod parallel;
mod power;
mod private;
mod report;
mod retention;
mod scarcity;
mod secrecy;
mod sequential;
mod sharing;
mod state;
mod status;
mod stop;
mod support;
mod suspend;
mod tell;
mod time;
mod told;
mod usage;
mod verify;
