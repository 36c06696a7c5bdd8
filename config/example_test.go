package config_test

import (
	"fmt"

	"goinetd/config"
)

// A service that cannot be read is a problem, and the others are there.
func ExampleReadInetd() {
	const text = `7007 stream tcp nowait alice /bin/cat cat -n
7008 stream tcp sometimes bob /bin/cat cat
`
	services, problems := config.ReadInetd("inetd.conf", text, config.Options{})
	for _, s := range services {
		fmt.Println(s.Name, s.Listen, s.User, s.Args)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	// Output:
	// 7007 [tcp:7007] alice [cat -n]
	// inetd.conf:2: "sometimes" is neither wait nor nowait (service 7008 skipped; correct field 4: wait or nowait)
}

// A configuration is converted by reading it in one dialect and writing it in
// another. What that does not have is among the losses.
func ExampleWrite() {
	services, _ := config.ReadTOML("inetd.toml", `
[service.cat]
listen = "tcp:7007"
user = "alice"
server = "/bin/cat"
only_from = ["192.0.2.0/24"]
`, config.Options{})
	text, lost := config.Write(config.Inetd, services, config.Options{})
	fmt.Print(text)
	for _, l := range lost {
		fmt.Println("lost:", l)
	}
	// Output:
	// 7007	stream	tcp	nowait	alice	/bin/cat	cat
	// lost: inetd.toml:6: cat: only_from = 192.0.2.0/24
}
