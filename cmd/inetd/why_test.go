package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"goinetd/inetd/control"
	"goinetd/inetd/differences"
)

// In a thousand random cases, over lists, names, hours, hosts.allow and hosts.deny
// and both families, what why says is what then happens.
func TestWhyAgrees(t *testing.T) {
	t.Parallel()
	wantsLimits(t)
	if !inside(t) {
		return
	}
	command(t, "ip", "link", "set", "lo", "up")
	for _, a := range []string{"10.1.2.3/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.9/32"} {
		command(t, "ip", "addr", "add", a, "dev", "lo")
	}
	for _, a := range []string{"2001:db8::1/128", "2001:db8:1::5/128", "2001:db8::200/128"} {
		command(t, "ip", "addr", "add", a, "dev", "lo", "nodad")
	}
	etc(t, map[string]string{"hosts": hostsOfRules, "nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\n", "resolv.conf": "", "hosts.allow": "", "hosts.deny": ""})
	dir := folder(t)
	os.Mkdir(dir+"/banners", 0o755)
	rules := differences.Rules{Dice: differences.Roll(t), Dir: dir, Banners: dir + "/banners"}
	socket := dir + "/control"
	const services = 4
	conf := func() (text string) {
		for i := range services {
			text += fmt.Sprintf("[service.s%d]\nlisten = \"tcp:%d\"\nuser = \"root\"\nserver = \"/bin/echo\"\nserver_args = [\"served\"]\nlibwrap = \"in.s%d\"\n", i, 7000+i, i) + whySettings(rules.Dice)
		}
		return text
	}
	d := setup{conf: conf(), flags: []string{"--control=" + socket}}.start(t)
	client, err := control.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	counts := map[string]int{}
	for range 100 {
		allow, deny := rules.File(), rules.File()
		write(t, "/etc/hosts.allow", allow, 0o644)
		write(t, "/etc/hosts.deny", deny, 0o644)
		text := conf()
		d.reload(text)
		for range 10 {
			i := rules.Intn(services)
			from := rules.Of("10.1.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.9", "127.0.0.1", "::1", "2001:db8::1", "2001:db8:1::5")
			to := "127.0.0.1"
			if strings.Contains(from, ":") {
				to = "::1"
			}
			r, err := client.Call(control.Request{Verb: control.VerbWhy, Service: fmt.Sprint("s", i), Target: from, To: to})
			if err != nil {
				t.Fatal(err)
			}
			served := strings.Contains(converse(from, to, 7000+i), "served\n")
			twisted := slices.ContainsFunc(r.Verdict.Notes, func(n string) bool { return strings.HasPrefix(n, "twist") })
			if v := r.Verdict; (v.Admitted && !twisted) != served {
				t.Fatalf("why says %+v, and served is %v\n%s\nhosts.allow:\n%s\nhosts.deny:\n%s\nlog:\n%s", v, served, text, allow, deny, tail(d.text()))
			}
			counts[r.Verdict.Reason]++
		}
	}
	t.Logf("%v", counts)
	for _, reason := range []string{"", "address", "libwrap", "time"} {
		if counts[reason] < 30 {
			t.Errorf("the dice are loaded: %v", counts)
		}
	}
}

// whySettings returns settings that say who may come in.
func whySettings(dice differences.Dice) (text string) {
	sources := func() string {
		var list []string
		for range 1 + dice.Intn(3) {
			list = append(list, fmt.Sprintf("%q", dice.Of("192.0.2.0/24", "192.0.2.0", "10.1.2.3", "a.example.org", ".example.org", "host", "2001:db8::/32", "2001:db8:1::/48", "0.0.0.0", "::1", "127.0.0.0/8", "192.0.2.{1,9}", "::/0")))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	if dice.One(3) {
		text += "only_from = " + sources() + "\n"
	}
	if dice.One(3) {
		text += "no_access = " + sources() + "\n"
	}
	if dice.One(8) {
		now := time.Now()
		from := now.Add(time.Duration(dice.Intn(7)-3) * time.Hour)
		text += fmt.Sprintf("access_times = [\"%d:%02d-%d:%02d\"]\n", from.Hour(), from.Minute(), from.Add(2*time.Hour).Hour(), from.Minute())
	}
	return text
}
