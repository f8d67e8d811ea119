package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/fs/account"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
broken line
:x:3:3::/:/bin/sh
short:x:5:5
wrap:x:4294967296:0::/:/bin/sh
minus:x:-1:0::/:/bin/sh
nochange:x:4294967295:0::/:/bin/sh
1000:x:0:0:a number for a name:/:/bin/sh
web:x:33:34:Web:/srv/web:/bin/sh
web:x:0:0:the second of a name:/root:/bin/sh
nohome:x:40:41::relative:/bin/sh
last:x:50:51::/home/last:/bin/sh`

const group = `root:x:0:
www:x:34:
adm:x:4:web,last
mail:x:8:other,web
again:x:4:web
bad:x:x:web
short:x:9
empty:x:12:
`

func TestLookup(t *testing.T) {
	files := account.Files{Passwd: []byte(passwd), Group: []byte(group)}
	for _, test := range []struct {
		user, group string
		want        account.Identity
	}{
		{"", "", account.Identity{Home: "/root"}},
		{"root", "", account.Identity{Groups: []uint32{0}, Home: "/root"}},
		{"0", "", account.Identity{Groups: []uint32{0}, Home: "/root"}},
		{"web", "", account.Identity{UID: 33, GID: 34, Groups: []uint32{4, 8, 34}, Home: "/srv/web"}},
		{"33", "", account.Identity{UID: 33, GID: 34, Groups: []uint32{4, 8, 34}, Home: "/srv/web"}},
		{"+33", "", account.Identity{UID: 33, GID: 34, Groups: []uint32{4, 8, 34}, Home: "/srv/web"}},
		{"web", "adm", account.Identity{UID: 33, GID: 4, Home: "/srv/web"}},
		{"web", "77", account.Identity{UID: 33, GID: 77, Home: "/srv/web"}},
		{"web", "+0", account.Identity{UID: 33, Home: "/srv/web"}},
		{"", "www", account.Identity{GID: 34, Home: "/root"}},
		{"1000", "", account.Identity{UID: 1000, Home: "/"}},
		{"+1000", "1000", account.Identity{UID: 1000, GID: 1000, Home: "/"}},
		{"nohome", "", account.Identity{UID: 40, GID: 41, Groups: []uint32{41}, Home: "/"}},
		{"last", "", account.Identity{UID: 50, GID: 51, Groups: []uint32{4, 51}, Home: "/home/last"}},
		{"4294967294", "", account.Identity{UID: 4294967294, Home: "/"}},
		{"00033", "", account.Identity{UID: 33, GID: 34, Groups: []uint32{4, 8, 34}, Home: "/srv/web"}},
	} {
		if test.want.Groups == nil {
			test.want.Groups = []uint32{}
		}
		got, err := files.Lookup(test.user, test.group)
		if err != nil {
			t.Errorf("%q:%q: %v", test.user, test.group, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q:%q (-want +got):\n%s", test.user, test.group, diff)
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	files := account.Files{Passwd: []byte(passwd), Group: []byte(group)}
	unknown := []string{"nobody", "wrap", "minus", "nochange", "short", "broken", "Web", "web2"}
	malformed := []string{
		"4294967295", "4294967296", "18446744073709551616", "0x0", "1a", "1.0", "1 ", "+", "+-1", "+web", "++1", "-1", "web:0",
		"web root", "a/b", "a\nb", "a\x00", "-web", strings.Repeat("a", 257),
	}
	for _, user := range append(unknown, malformed...) {
		got, err := files.Lookup(user, "")
		if err == nil {
			t.Errorf("user %q is %v", user, got)
		} else if !strings.HasPrefix(err.Error(), fmt.Sprintf("look up user %q: ", user)) {
			t.Errorf("user %q: %v", user, err)
		}
	}
	for _, name := range unknown[:1] {
		if _, err := files.Lookup("0", name); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("group %q: %v", name, err)
		}
	}
	for _, name := range append(malformed, "bad", "short") {
		if got, err := files.Lookup("0", name); err == nil {
			t.Errorf("group %q is %v", name, got)
		}
	}
}

func TestLookupBoundsGroups(t *testing.T) {
	var b strings.Builder
	for i := range account.MaxGroups + 1 {
		fmt.Fprintf(&b, "g%d:x:%d:web\n", i, 1000+i)
	}
	files := account.Files{Passwd: []byte(passwd), Group: []byte(b.String())}
	if _, err := files.Lookup("web", ""); err == nil || !strings.Contains(err.Error(), "more than 1024 groups") {
		t.Errorf("%v", err)
	}
}

func FuzzLookup(f *testing.F) {
	f.Add(passwd, group, "web", "adm")
	f.Add("a:::::::\n", "b:::\n", "+1", "")
	f.Fuzz(func(t *testing.T, passwd, group, user, name string) {
		files := account.Files{Passwd: []byte(passwd), Group: []byte(group)}
		got, err := files.Lookup(user, name)
		if err != nil {
			return
		}
		again, err := files.Lookup(fmt.Sprintf("+%d", got.UID), fmt.Sprintf("+%d", got.GID))
		if err != nil || again.UID != got.UID || again.GID != got.GID {
			t.Errorf("%q:%q is %v, by number %v, %v", user, name, got, again, err)
		}
		if got.Groups == nil || len(got.Groups) > account.MaxGroups || !strings.HasPrefix(got.Home, "/") {
			t.Errorf("%q:%q: %v", user, name, got)
		}
		for i, gid := range got.Groups {
			if gid == 1<<32-1 || i > 0 && got.Groups[i-1] >= gid {
				t.Errorf("groups %v", got.Groups)
			}
		}
	})
}
