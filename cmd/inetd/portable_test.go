//go:build portable

package main

func init() { buildFlags = append(buildFlags, "-tags", "portable") }

const portable = true
