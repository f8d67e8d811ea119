package cli_test

import (
	"testing"

	"github.com/davitd/davit/client/cli"
)

// TestSaying reads what inits and programs draw on a console.
func TestSaying(t *testing.T) {
	for line, want := range map[string]string{
		"plain\ttext": "plain\ttext",
		"[  \x1b[0;32mOK\x1b[0m  ] Started \x1b[0;1;39mweb.service\x1b[0m - a web.\r": "[  OK  ] Started web.service - a web.",
		"\x1b[?25h\x1b[K\x1b[2J\x1b[1;1H":                                             "",
		"\r\x1b[K[\x1b[0;31m*     \x1b[0m] A job":                                     "[*     ] A job",
		" 10%\r 50%\r100%\r\r":                                                        "100%",
		"\x1b]0;root@web: ~\x07root@web:~# ":                                          "root@web:~# ",
		"\x1b]8;;http://there\x1b\\a link\x1b]8;;":                                    "a link",
		"\x1bPq#0;2;0;0;0\x1b\\after a picture":                                       "after a picture",
		"\x1b(B\x1b)0\x1b=\x1b>\x1b7\x1bMkept":                                        "kept",
		"cut at the end \x1b[0;3":                                                     "cut at the end ",
		"a bell\a, a backspace\b, a NUL\x00":                                          "a bell, a backspace, a NUL",
		"\x1b":                                                                        "",
		"an escape before é: \x1bé":                                                   "an escape before é: é",
		"\x1b[31":                                                                     "",
		"what is no UTF-8: \xff":                                                      "what is no UTF-8: \xff",
		"\x1b[38;2;1;2;3mtrue colour\x1b[m, \x1b[1 q":                                 "true colour, ",
	} {
		if got := cli.Saying(line); got != want {
			t.Errorf("%q says %q, want %q", line, got, want)
		}
	}
}
