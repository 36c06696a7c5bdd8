package hosts_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"goinetd/inetd/hosts"
)

// A rule that needs the client's name says so; the caller looks it up and
// asks again.
func ExampleFiles_Check() {
	dir, err := os.MkdirTemp("", "hosts")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	allow, deny := filepath.Join(dir, "hosts.allow"), filepath.Join(dir, "hosts.deny")
	os.WriteFile(allow, []byte("sshd: .example.org\n"), 0o644)
	os.WriteFile(deny, []byte("ALL: ALL\n"), 0o644)

	files := hosts.New(allow, deny)
	r := hosts.Request{Daemon: "sshd", Client: netip.MustParseAddrPort("192.0.2.7:40112")}
	fmt.Println("needs the name:", files.Check(&r).NeedName)
	r.Host = &hosts.Hostname{Host: "a.example.org"}
	v := files.Check(&r)
	fmt.Println("refused:", v.Refused, "by", v.Rule)
	r.Host = &hosts.Hostname{Host: "a.example.net"}
	v = files.Check(&r)
	fmt.Println("refused:", v.Refused, "by", v.Rule)
	// Output:
	// needs the name: true
	// refused: false by hosts.allow:1
	// refused: true by hosts.deny:1
}
