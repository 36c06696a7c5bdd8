package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// lowContrast is a function of JavaScript that returns the texts whose contrast
// with what is behind them is less than 4.5 to 1 (WCAG 2.2, 1.4.3).
const lowContrast = `(() => {
	const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4); };
	const luminance = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
	const parse = (color) => color.match(/[\d.]+/g).map(Number);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const low = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walker.nextNode(); n; n = walker.nextNode()) {
		if (!n.textContent.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(n.parentElement.tagName)) continue;
		const a = luminance(parse(getComputedStyle(n.parentElement).color)), b = luminance(behind(n.parentElement));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) low.push(n.textContent.trim() + " " + ratio.toFixed(2));
	}
	return low;
})()`

// The page in a browser: it lists the services, a client appears within a second
// and without a reload, nothing is wrong on the console, no text is hard to read,
// and a telephone has no horizontal scrolling. It works without JavaScript.
func TestPage(t *testing.T) {
	need(t, "chromium")
	dir := t.TempDir()
	inetd, inetctl := buildInetd(t, dir), filepath.Join(dir, "inetctl")
	if out, err := exec.Command("go", "build", "-o", inetctl, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	page, err := freePort("tcp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	echo, err := freePort("tcp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conf, socket := filepath.Join(dir, "inetd.toml"), filepath.Join(dir, "control")
	text := fmt.Sprintf("[service.status]\nlisten = \"tcp:127.0.0.1:%d\"\nuser = \"root\"\nserver = %q\nserver_args = [\"httpd\", \"--socket\", %q]\n"+
		"[service.a-service-with-a-rather-long-name-that-has-to-be-broken]\nlisten = \"tcp:127.0.0.1:%d\"\nbuiltin = \"echo\"\n", page, inetctl, socket, echo)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(inetd, "-i", "--control="+socket, conf)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		daemon.Process.Signal(os.Interrupt)
		daemon.Wait()
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/", page)
	soon(t, "inetd listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", page))
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	allocator, cancel = context.WithTimeout(allocator, 2*patience)
	defer cancel()
	browser, cancel := chromedp.NewContext(allocator)
	defer cancel()
	var mu sync.Mutex
	var console []string
	messages := chromedp.Console(browser) // from here on
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			mu.Lock()
			console = append(console, string(m.Type)+": "+m.Text)
			mu.Unlock()
		}
	}()
	evaluate := func(expression string) (value bool) {
		t.Helper()
		value, err := chromedp.Run(browser, chromedp.Evaluate[bool](expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return value
	}
	load := func(withScripts bool) {
		t.Helper()
		disabled := emulation.SetScriptExecutionDisabledParams{Value: !withScripts}
		if _, err := chromedp.Call(browser, emulation.SetScriptExecutionDisabled, disabled); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(browser, chromedp.Navigate(url)); err != nil {
			t.Fatal(err)
		}
	}

	load(false)
	rows, err := chromedp.Run(browser, chromedp.Text("#services"))
	if err != nil || !strings.Contains(rows, "status") || !strings.Contains(rows, "a-service-with") {
		t.Errorf("without JavaScript: %q %v", rows, err)
	}
	load(true)
	soon(t, "the state comes", func() bool { return evaluate("before !== null") })
	evaluate("window.same = true")
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", echo))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "x")
	begun := time.Now()
	soon(t, "the client is there", func() bool {
		return evaluate(`[...document.querySelectorAll("#services tr")].some((r) => r.textContent.startsWith("a-service") && r.querySelector("[data-title=starts]").textContent === "1")`)
	})
	t.Logf("a client appears after %v", time.Since(begun).Round(time.Millisecond))
	if !evaluate("window.same === true") {
		t.Error("the page was loaded again")
	}
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(browser, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		low, err := chromedp.Run(browser, chromedp.Evaluate[[]string](lowContrast))
		if err != nil || len(low) > 0 {
			t.Errorf("%s: hard to read: %q %v", scheme, low, err)
		}
	}
	if err := chromedp.Do(browser, chromedp.EmulateViewport(360, 800)); err != nil {
		t.Fatal(err)
	}
	width, err := chromedp.Run(browser, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
	if err != nil || width > 360 {
		t.Errorf("%d pixels wide on a screen of 360: %v", width, err)
	}
	// A message of ours is the last one.
	evaluate(`console.log("the end") === undefined`)
	soon(t, "the console ends", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(console, "log: the end")
	})
	if len(console) > 1 {
		t.Errorf("on the console: %q", console)
	}
}

// soon waits until something is.
func soon(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
