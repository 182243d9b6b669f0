//! Processor time: of another process, and of a closure on this thread.

use anyhow::{Context, Result, ensure};

/// Clock ticks per second of `/proc/PID/stat` on Linux (USER_HZ).
const TICKS: f64 = 100.0;

/// User and system time a process has used, in microseconds.
pub(crate) fn of_process(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let after_name = text.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let tick = |at: usize| -> Result<f64> {
        Ok(fields
            .get(at)
            .context("stat is too short")?
            .parse::<f64>()?)
    };
    Ok((tick(11)? + tick(12)?) / TICKS * 1e6)
}

/// The same of the children that a process has now.
pub(crate) fn of_children(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = std::fs::read_to_string(task?.path().join("children"))?;
        for child in children.split_whitespace() {
            sum += of_process(child.parse()?)?;
        }
    }
    Ok(sum)
}

/// Time this thread was on a processor, in microseconds. It leaves the processor first:
/// nothing else brings the kernel's count up to now on a machine that does nothing besides.
pub(crate) fn of_thread() -> Result<f64> {
    std::thread::sleep(std::time::Duration::from_micros(1));
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).context(path)?;
    let nanoseconds: u64 = text
        .split_whitespace()
        .next()
        .context("schedstat is empty")?
        .parse()?;
    Ok(nanoseconds as f64 / 1000.0)
}

/// Processor time of one call, in microseconds: the least of five rounds.
pub(crate) fn per_call(calls: usize, mut work: impl FnMut()) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let before = of_thread()?;
        (0..calls).for_each(|_| work());
        best = best.min((of_thread()? - before) / calls as f64);
    }
    ensure!(best > 0.0, "the kernel counted no time of this thread");
    Ok(best)
}

/// Processor time of one call, in microseconds, on average over a while: for what is
/// compared with a server that was as disturbed by others as this.
pub(crate) fn on_average(mut work: impl FnMut()) -> Result<f64> {
    const CALLS: usize = 64;
    let (before, begun) = (of_thread()?, std::time::Instant::now());
    let mut calls = 0;
    while begun.elapsed() < std::time::Duration::from_millis(200) {
        (0..CALLS).for_each(|_| work());
        calls += CALLS;
    }
    Ok((of_thread()? - before) / calls as f64)
}
