//! A browser without a window, driven over two pipes (Chrome `DevTools` protocol): a page is loaded, clicked and looked
//! at as a person would.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::WATCHDOG;
use super::skip::skipped;

const PROGRAM: &str = "chromium";

/// The protocol's pipes are descriptors 3 and 4 of the browser.
const ENTER: &str = r#"cd "$1" && shift && exec "$@" 3<to 4>from 2>/dev/null"#;

const ARGUMENTS: [&str; 11] = [
    PROGRAM,
    "--headless=new",
    "--remote-debugging-pipe",
    // Root runs the tests in containers, where it has no sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--user-data-dir=profile",
    "--window-size=1280,1000",
];

/// A browser with one page. It ends when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Browser {
    process: Child,
    _home: TempDir,
    to: File,
    from: File,
    /// What has come in of a message that is not whole yet.
    partial: Vec<u8>,
    /// The number of the last call.
    calls: u64,
    session: Option<String>,
    /// What the browser has told, unasked.
    events: Vec<Value>,
}

impl Browser {
    /// Starts one; without `chromium` it says what is not tested.
    pub(crate) fn start(what: &str) -> Option<Self> {
        if which::which(PROGRAM).is_err() {
            skipped(what, "chromium is not installed");
            return None;
        }
        let home = TempDir::with_prefix("orchestrate-browser-").expect("a directory");
        for name in ["to", "from"] {
            mkfifo(&home.path().join(name), Mode::S_IRWXU).expect("a FIFO");
        }
        let process = Command::new("sh")
            .args([OsStr::new("-c"), ENTER.as_ref(), "sh".as_ref()])
            .arg(home.path())
            .args(ARGUMENTS)
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        // In the order in which the shell opens them, for each waits for the other end.
        let to = OpenOptions::new().write(true).open(home.path().join("to"));
        let from = File::open(home.path().join("from"));
        let mut browser = Self {
            process,
            _home: home,
            to: to.expect("a FIFO"),
            from: from.expect("a FIFO"),
            partial: Vec::new(),
            calls: 0,
            session: None,
            events: Vec::new(),
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Loads a file.
    pub(crate) fn load(&mut self, file: &Path) {
        let path = file.canonicalize().expect("a file");
        let url = format!("file://{}", path.display());
        self.call("Page.navigate", &json!({ "url": url }));
        while !self
            .events
            .iter()
            .any(|it| it["method"] == "Page.loadEventFired")
        {
            let event = self.message();
            self.events.push(event);
        }
    }

    /// What an expression of JavaScript comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        let failed = &answer["exceptionDetails"];
        assert!(failed.is_null(), "{expression}: {failed:#}");
        answer["result"]["value"].clone()
    }

    /// Clicks, with the mouse, the middle of the first element that a CSS selector finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{block: 'center'}});
             const box = it.getBoundingClientRect();
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let middle = self.evaluate(&middle);
        self.click_at(&middle[0], &middle[1]);
    }

    /// Clicks at a place of what is shown, in pixels.
    pub(crate) fn click_at(&mut self, x: &Value, y: &Value) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Moves the mouse to a place of what is shown, in pixels.
    pub(crate) fn point_at(&mut self, x: &Value, y: &Value) {
        let event = json!({"type": "mouseMoved", "x": x, "y": y});
        self.call("Input.dispatchMouseEvent", &event);
    }

    /// Types where the last click has put the cursor.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Shows the page as on a desktop that prefers `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    /// Writes what is shown, from the top of the page, to a PNG file in cargo's directory for tests, for a person.
    pub(crate) fn picture(&mut self, name: &str) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": 1280, "height": 1400, "scale": 1});
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", &whole);
        let png = STANDARD.decode(answer["data"].as_str().expect("a picture"));
        let png = png.expect("a picture");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(path, &png).expect("a file");
        png
    }

    /// The errors and warnings of the console, and what the page has asked the network for beside itself.
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        let unwanted = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded") => true,
            Some("Network.requestWillBeSent") => event["params"]["type"] != "Document",
            _ => false,
        };
        self.events.iter().filter(unwanted).collect()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let mut message = self.message();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// The next message: messages end with a NUL byte.
    fn message(&mut self) -> Value {
        loop {
            if let Some(end) = self.partial.iter().position(|byte| *byte == 0) {
                let message = serde_json::from_slice(&self.partial[..end]).expect("JSON");
                self.partial.drain(..=end);
                return message;
            }
            let wait = PollTimeout::try_from(WATCHDOG).expect("a short time");
            let mut ready = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut ready, wait), Ok(1), "the browser says nothing");
            let mut block = vec![0; 1 << 16];
            let read = self.from.read(&mut block).expect("a pipe");
            assert!(read > 0, "the browser has ended");
            self.partial.extend_from_slice(&block[..read]);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All of it is in the group that it leads.
        let group = i32::try_from(self.process.id()).expect("a process");
        let _ended = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _gone = self.process.wait();
    }
}
