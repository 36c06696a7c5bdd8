package ident_test

import (
	"fmt"

	"goinetd/inetd/ident"
)

func ExampleParse() {
	reply, err := ident.Parse("6193, 23 : USERID : UNIX : alice\r\n", 6193, 23)
	fmt.Println(reply.System, reply.User, err)
	_, err = ident.Parse("6195, 23 : ERROR : NO-USER\r\n", 6195, 23)
	fmt.Println(err)
	// Output:
	// UNIX alice <nil>
	// answered "NO-USER"
}
