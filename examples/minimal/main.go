// Command minimal is the smallest adapter that is still a whole one: a TCP
// protocol of one hello line and mu-law packets, served to a patchbay host as a
// plugin. README.md uses it to show how an adapter is written.
package main

import "github.com/patchbay/patchbay/core/plug"

func main() { plug.Serve("minimal", DefaultConfig(), New, plug.WithSimulator(simulate)) }
