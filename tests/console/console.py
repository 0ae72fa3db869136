#!/usr/bin/env python3
"""The console in a real browser, over a real mesh under a load of known rate.

    console.py QMESH [SCREENSHOTS]

QMESH is the binary. It needs `chromium` and the package `playwright`. With SCREENSHOTS, a folder, it leaves pictures there.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from playwright.sync_api import sync_playwright

CALLS_PER_SECOND = 20
PAGES = ["mesh", "node/asked", "services", "service/echo.Echo", "actors", "actors/far", "traces", "events"]
# Such a sign is no escape of an address.
TOKEN = "a-token-that-nobody-guesses-100%"


def check(holds, what):
    if not holds:
        sys.exit(f"console: {what}")


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.1)
    check(False, f"in vain waited for {what}")


# --- the mesh, and its load ---


class Mesh:
    """Nodes of one data directory, by name."""

    def __init__(self, qmesh, data):
        self.qmesh, self.data, self.nodes = qmesh, data, {}

    def serve(self, service, name, *more):
        patient = ["--preset", "lan"]
        command = [self.qmesh, "serve", service, "--name", name, "--data-dir", self.data, "-o", "json", *patient, *more]
        node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.nodes[name] = node
        line = node.stdout.readline()
        check(line, f"{name} did not start")
        return json.loads(line).get("console")

    def kill(self, name):
        node = self.nodes.pop(name)
        node.send_signal(signal.SIGKILL)
        node.wait(30)

    def end(self):
        for node in self.nodes.values():
            node.terminate()
        for node in self.nodes.values():
            node.wait(30)


def ask(url, query, headers=None):
    """Status, headers and text of an answer to a question, as a program asks it."""
    body = json.dumps(query).encode()
    request = urllib.request.Request(f"{url}api/ask", body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def say(text="hi"):
    return {"call": {"service": "echo.Echo", "method": "say", "arguments": {"text": text}, "timeout_ms": 5000}}


class Load:
    """Calls through the node `asked`, at an even pace unless the machine is in the way, until it is stopped."""

    def __init__(self, url):
        self.url, self.stopped, self.calls, self.failed, self.times = url, threading.Event(), 0, 0, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        began = time.monotonic()
        while not self.stopped.wait(max(0, began + self.calls / CALLS_PER_SECOND - time.monotonic())):
            try:
                _, _, answer = ask(self.url, say())
                self.failed += "value" not in json.loads(answer)
            except OSError:
                self.failed += 1
            self.times.append(time.monotonic())
            self.calls += 1

    def rate(self):
        """Answers per second of the last five, as the page has it."""
        return sum(time.monotonic() - 5 < at for at in self.times) / 5

    def stop(self):
        self.stopped.set()
        self.thread.join(20)


# --- what the server refuses ---


def refusals(url):
    status, headers, _ = ask(url, "nodes")
    check(status == 200, f"a question is answered with {status}")
    with urllib.request.urlopen(url, timeout=5) as response:
        for served in (headers, response.headers):
            policy = served["Content-Security-Policy"]
            for directive in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"):
                check(directive in policy, f"no {directive} in {policy}")
            check("unsafe" not in policy, policy)
            check(served["X-Content-Type-Options"] == "nosniff", "types are sniffed")
            check(served["Cache-Control"] == "no-store", "pages are kept")
            check(served["Access-Control-Allow-Origin"] is None, "others may read")
    address = url.removeprefix("http://").rstrip("/")
    for headers, expected in [
        ({"Host": f"evil.example:{address.split(':')[1]}"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://{address}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Origin": f"http://{address}", "Sec-Fetch-Site": "same-origin"}, 200),
    ]:
        status, _, _ = ask(url, "nodes", headers)
        check(status == expected, f"{headers} is answered with {status}, not {expected}")
    check(ask(url, {"format_disk": {}})[0] == 400, "an unknown question is not refused")


def refuses_to_start(mesh):
    """On an address that others reach, there is no console without a token."""
    command = [mesh.qmesh, "serve", "clock.Clock", "--name", "open", "--data-dir", mesh.data, "--console", f"0.0.0.0:{port()}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    check(ended.returncode == 2 and "token" in ended.stderr, f"a console for everybody: {ended}")


# --- what a person sees ---


class Tab:
    """A page in the browser. An error in the browser's log is an error here, unless the console's node is away."""

    def __init__(self, browser, url, **context):
        self.context = browser.new_context(viewport={"width": 1280, "height": 860}, **context)
        self.page, self.url, self.complaints, self.away = self.context.new_page(), url, [], False
        self.page.on("console", lambda said: self.heard(said.type, said.text))
        self.page.on("pageerror", lambda error: self.heard("error", str(error)))

    def heard(self, kind, text):
        if kind in ("error", "warning") and not self.away:
            self.complaints.append(text)

    def open(self, route):
        self.page.goto(f"{self.url}#/{route}")
        self.page.locator("#status .dot.good").wait_for(timeout=20_000)

    def says(self, text, seconds=20):
        wait(f"“{text}” on {self.page.url}", lambda: text in self.page.inner_text("body"), seconds)

    def figure(self, label):
        return self.page.locator(f".figure:has(.label:text-is('{label}')) .value").inner_text()

    def rate(self, label):
        """A figure as a number. While a node is late, there may be none."""
        shown = self.figure(label).replace(",", "")
        return float(shown) if shown.replace(".", "").isdigit() else 0.0

    def close(self):
        check(not self.complaints, f"the browser's log: {self.complaints}")
        self.context.close()


def pages_load(browser, url):
    tab = Tab(browser, url)
    for route in PAGES:
        tab.open(route)
        tab.page.wait_for_timeout(1500)
        check(tab.page.locator("h1").count() == 1, f"{route} has no title")
    tab.close()


def numbers_are_right(browser, url, load):
    def agree(label):
        shown, real = tab.rate(label), load.rate()
        return abs(shown - real) < 0.15 * real

    tab = Tab(browser, url)
    for route, label in [("service/echo.Echo", "calls per second"), ("node/far", "serves, per second"), ("mesh", "calls per second")]:
        tab.open(route)
        # Rates are over five seconds.
        tab.page.wait_for_timeout(7000)
        wait(f"the rate of the load on {route}", lambda: agree(label))
    wait("2 nodes", lambda: tab.figure("nodes") == "2")
    failed = wait("a share that failed", lambda: tab.figure("failed").strip("–"))
    check(failed == "0 %", f"{failed} failed")
    wait("far in the graph", lambda: tab.page.get_by_role("link", name="far, ready").count() == 1)
    tab.says("asked → far")
    tab.open("services")
    tab.says("echo.Echo")
    row = tab.page.get_by_role("row").filter(has_text="echo.Echo").inner_text()
    check("far" in row, f"who offers it: {row}")
    tab.open("actors/far")
    tab.says("service/echo.Echo")
    tab.close()


def form_calls(browser, url):
    tab = Tab(browser, url)
    tab.open("service/echo.Echo")
    tab.page.locator("#call-method").select_option("say")
    arguments = tab.page.get_by_label("Arguments as JSON")
    check(json.loads(arguments.input_value()) == {"text": ""}, f"an example: {arguments.input_value()}")
    arguments.fill('{"text": "from the form"}')
    tab.page.get_by_role("button", name="Call", exact=True).click()
    tab.says("Answered")
    check('"from the form"' in tab.page.locator("pre.answer").inner_text(), "the answer is not shown")
    tab.says("server on far")
    tab.page.get_by_role("link", name="Its trace").click()
    tab.page.wait_for_url("**/#/trace/*")
    tab.says("client on asked")
    tab.says("handler on far")
    tab.page.go_back()
    tab.open("service/echo.Echo")
    tab.page.locator("#call-method").select_option("fail")
    arguments.fill('{"reason": "on purpose"}')
    arguments.press("Control+Enter")
    tab.says("The service's own error")
    arguments.fill("{")
    tab.page.get_by_role("button", name="Call", exact=True).click()
    tab.says("The arguments are no JSON")
    tab.close()


def form_rounds_nothing(browser, url):
    """What is typed goes out, and what comes back is shown, as they are: a double has 53 bits."""
    sent = []

    def answered(route):
        asked = route.request.post_data
        if not asked.startswith('{"call"'):
            return route.fallback()
        sent.append(asked)
        return route.fulfill(content_type="application/json", body='{"value":{"id":18446744073709551615}}')

    tab = Tab(browser, url)
    tab.page.route("**/api/ask", answered)
    tab.open("service/echo.Echo")
    tab.page.get_by_label("Arguments as JSON").fill('{"id": 9007199254740993}')
    tab.page.get_by_role("button", name="Call", exact=True).click()
    tab.says("Answered")
    shown = tab.page.locator("pre.answer").inner_text()
    check('"id": 18446744073709551615' in shown, f"the answer became {shown}")
    check('"id": 9007199254740993' in sent[0], f"the arguments became {sent[0]}")
    tab.close()


def odd_addresses_are_pages(browser, url):
    tab = Tab(browser, url)
    for route in ("%", "constructor", "node/%zz"):
        tab.open(route)
        tab.page.locator("h1").wait_for(state="attached")
    tab.close()


def fits_a_narrow_window(browser, url):
    tab = Tab(browser, url)
    tab.page.set_viewport_size({"width": 360, "height": 700})
    for route in PAGES:
        tab.open(route)
        tab.page.wait_for_timeout(1200)
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        check(width <= 360, f"{route} is {width} wide")
    tab.close()


def light_and_dark(browser, url):
    def background(tab):
        return tab.page.evaluate("getComputedStyle(document.body).backgroundColor")

    seen = {}
    for scheme in ("light", "dark"):
        tab = Tab(browser, url, color_scheme=scheme)
        tab.open("mesh")
        seen[scheme] = background(tab)
        if scheme == "dark":
            switch = tab.page.locator("#theme")
            switch.click()
            check(background(tab) == seen["light"], "the switch does not make it light")
            tab.page.reload()
            check(background(tab) == seen["light"], "the choice is not kept")
        tab.close()
    check(seen["light"] != seen["dark"], f"one colour for both: {seen}")


def by_keyboard(browser, url):
    tab = Tab(browser, url)
    tab.open("mesh")
    focused = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
    reached = []
    for _ in range(40):
        tab.page.keyboard.press("Tab")
        reached.append(tab.page.evaluate(focused))
    for name in ("Skip to the page", "Services", "Events"):
        check(name in reached, f"{name} is out of reach: {reached}")
    check(any(name.startswith("far, ready") for name in reached), f"no node of the graph is in reach: {reached}")
    tab.page.get_by_role("link", name="far, ready").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/#/node/far")
    tab.close()


def a_hidden_tab_asks_nothing(browser, url):
    tab = Tab(browser, url)
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isAway === true })")
    tab.open("mesh")
    turn = "window.isAway = {}; document.dispatchEvent(new Event('visibilitychange'))"
    tab.page.evaluate(turn.format("true"))
    tab.page.wait_for_timeout(1500)
    asked.clear()
    tab.page.wait_for_timeout(3000)
    check(not asked, f"hidden, it asks {asked}")
    tab.page.evaluate(turn.format("false"))
    wait("questions of a tab that is seen again", lambda: tab.page.wait_for_timeout(200) or asked)
    tab.close()


def names_deadlocks(browser, url):
    """What the server finds is on three pages. (That it finds them is a test of `deadlocks`.)"""

    def deadlocked(route):
        answer = route.fetch()
        traffic = answer.json()
        wait = {"handler_id": 1, "exclusive": True, "method": "pay", "for_ms": 4000, "trace": None}
        traffic["deadlocks"] = [
            {
                "circle": [
                    ["asked", {**wait, "from": "shop.Cart", "handler": "buy", "service": "bank.Till", "node": "far"}],
                    ["far", {**wait, "from": "bank.Till", "handler": "pay", "service": "shop.Cart", "node": "asked"}],
                ],
                "held_up": 3,
                "for_ms": 4000,
            }
        ]
        route.fulfill(response=answer, json=traffic)

    tab = Tab(browser, url)
    tab.page.route("**/api/traffic", deadlocked)
    for route in ("mesh", "services", "actors"):
        tab.open(route)
        alarm = tab.page.get_by_role("alert").filter(has_text="Deadlock")
        alarm.wait_for()
        said = " ".join(alarm.inner_text().split())
        for part in ("2 handlers wait for each other, 4.0 s by now, 3 other calls behind them", "shop.Cart/buy on asked", "bank.Till/pay on far"):
            check(part in said, f"no {part} in {said}")
    tab.page.unroute("**/api/traffic")
    wait("the alarm to go", lambda: tab.page.get_by_role("alert").filter(has_text="Deadlock").count() == 0)
    tab.close()


def names_who_is_missing(browser, url):
    """A node without an answer is in no number: the pages with numbers say so, and no other one."""

    def without(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "silent": {"lost": "it was left out"}})

    tab = Tab(browser, url)
    tab.page.route("**/api/traffic", without)
    tab.open("mesh")
    tab.says("1 node is not in these numbers.")
    tab.says("lost: it was left out")
    tab.open("events")
    wait("the notice to go", lambda: tab.page.locator(".notice").count() == 0)
    tab.close()


def survives_deaths(browser, mesh, url, at):
    tab = Tab(browser, url)
    tab.open("mesh")
    wait("both nodes", lambda: tab.figure("nodes").startswith("2"))
    mesh.kill("far")
    wait("the death of far in the graph", lambda: tab.page.get_by_role("link", name="far, gone").count() == 1)
    check(tab.figure("nodes").startswith("1"), "a dead node counts")
    tab.open("events")
    tab.says("far fell silent")
    tab.open("mesh")
    tab.away = True
    mesh.kill("asked")
    tab.says("does not answer")
    mesh.serve("clock.Clock", "asked", "--console", str(at))
    mesh.serve("echo.Echo", "far")
    wait("the notice to go", lambda: tab.page.locator(".notice").count() == 0)
    tab.page.wait_for_timeout(300)
    tab.away = False
    wait("both nodes again", lambda: tab.figure("nodes").startswith("2"))
    tab.close()


def wants_its_token(browser, mesh, data):
    file = os.path.join(data, "token")
    with open(file, "w") as written:
        written.write(f"{TOKEN}\n")
    at = port()
    mesh.serve("clock.Clock", "guarded", "--console", f"0.0.0.0:{at}", "--console-token-file", file)
    url = f"http://127.0.0.1:{at}/"
    check(ask(url, "nodes")[0] == 401, "no token is needed")
    check(ask(url, "nodes", {"Authorization": f"Bearer {TOKEN}x"})[0] == 401, "any token will do")
    check(ask(url, "nodes", {"Authorization": f"Bearer {TOKEN}"})[0] == 200, "the token is not taken")
    tab = Tab(browser, url)
    # The browser tells of every 401.
    tab.away = True
    tab.page.goto(f"{url}#/mesh")
    tab.says("This console is locked")
    tab.page.get_by_label("Token").fill("wrong-token-wrong-token")
    tab.page.get_by_role("button", name="Open").click()
    tab.says("the token is not right")
    tab.page.get_by_label("Token").fill(TOKEN)
    tab.page.get_by_role("button", name="Open").click()
    tab.says("live")
    tab.close()
    tab = Tab(browser, url)
    tab.page.goto(f"{url}#token={TOKEN}")
    tab.says("live")
    check(TOKEN not in tab.page.url, "the token stays in the address")
    tab.close()


def pictures(browser, url, folder):
    os.makedirs(folder, exist_ok=True)
    for scheme in ("light", "dark"):
        tab = Tab(browser, url, color_scheme=scheme)
        for route in PAGES:
            tab.open(route)
            tab.page.wait_for_timeout(6000)
            tab.page.screenshot(path=os.path.join(folder, f"{route.replace('/', '-')}-{scheme}.png"), full_page=True)
        tab.close()


def main():
    qmesh = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        mesh, at = Mesh(qmesh, data), port()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            url = mesh.serve("clock.Clock", "asked", "--console", str(at))
            mesh.serve("echo.Echo", "far")
            check(url == f"http://127.0.0.1:{at}/", f"the console is at {url}")
            wait("the service", lambda: "value" in ask(url, say())[2])
            refusals(url)
            refuses_to_start(mesh)
            load = Load(url)
            for shows in (
                pages_load, odd_addresses_are_pages, numbers_are_right, form_calls, form_rounds_nothing, fits_a_narrow_window, light_and_dark,
                by_keyboard, a_hidden_tab_asks_nothing, names_deadlocks, names_who_is_missing,
            ):
                began = time.monotonic()
                shows(browser, url, *([load] if shows is numbers_are_right else []))
                print(f"console: {shows.__name__} in {time.monotonic() - began:.1f} s", flush=True)
            if len(sys.argv) > 2:
                pictures(browser, url, sys.argv[2])
            load.stop()
            check(load.failed == 0, f"{load.failed} of {load.calls} calls failed")
            survives_deaths(browser, mesh, url, at)
            wants_its_token(browser, mesh, data)
        finally:
            browser.close()
            mesh.end()
    print(f"console: {len(PAGES)} pages, {load.calls} calls of load, and what must not be asked is refused")


main()
