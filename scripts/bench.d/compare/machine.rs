//! What it was measured on, and with which versions.

use std::fs;
use std::io;

use crate::bench::Bench;
use crate::runner::Runner;

pub(crate) fn line(bench: &Bench) -> io::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let versions = bench.runners.iter();
    let versions = versions.filter(|it| !matches!(it.runner, Runner::Floor | Runner::Pooled));
    let versions: Vec<String> = versions
        .map(|it| format!("{} {}", it.runner.name(), it.version))
        .collect();
    Ok(format!(
        "{model}, {cores} cores, Linux {}, {}; {}.\n",
        kernel.trim(),
        file_system(bench)?,
        versions.join(", ")
    ))
}

/// The type of the longest mount point that is above the scratch folder.
fn file_system(bench: &Bench) -> io::Result<String> {
    let folder = bench.scratch.path().canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(place, _)| folder.starts_with(place));
    let found = above.max_by_key(|(place, _)| place.len());
    Ok(found.map_or("?", |(_, kind)| kind).to_owned())
}
