package seccomp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/seccomp"
)

// asked are the numbers that a profile is asked about: every number there could be a call of, and some there could not.
func asked(arch string) []uint32 {
	all := []uint32{1 << 29, 1<<30 - 1, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1}
	for n := range uint32(1024) {
		all = append(all, n, 0xf0000+n, 0x40000000+n)
	}
	for _, n := range seccomp.Calls(arch) {
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// near gives arguments at which the conditions of a profile may change their mind.
func near(p seccomp.Profile, name string, random *rand.Rand) [][6]uint64 {
	all := [][6]uint64{{}, {1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}}
	var meant [6]uint64 // fulfils as many as it can
	for _, r := range p.Rules {
		if name != "" && !slices.Contains(r.Names, name) {
			continue
		}
		for _, c := range r.When {
			meant[c.Argument] = c.Value
			for _, v := range []uint64{
				c.Value, c.Value + 1, c.Value - 1, c.Value + 1<<32, c.Value - 1<<32, c.Value ^ 1<<63, c.Value &^ c.Mask, c.Value | ^c.Mask,
				c.Value ^ 1<<random.IntN(64), c.Value>>32 | c.Value<<32, random.Uint64(),
			} {
				one := meant
				one[c.Argument] = v
				all = append(all, one)
			}
		}
	}
	return all
}

// compare runs the program of a profile on many calls and holds it to what the profile says.
func compare(t *testing.T, p seccomp.Profile, native string, table map[string]map[uint32]string, random *rand.Rand) {
	t.Helper()
	program, err := p.Compile(native)
	if err != nil {
		t.Fatal(err)
	}
	code := program.Bytes()
	for _, arch := range slices.Sorted(maps.Keys(audit)) {
		for _, number := range asked(arch) {
			name, known := table[arch][number]
			arguments := [][6]uint64{{}}
			if known && (arch == native || arch == seccomp.Companion(native)) {
				arguments = near(p, name, random)
			}
			for _, a := range arguments {
				c := call{number: number, arch: audit[arch], arguments: a}
				got, _ := interpret(t, code, c)
				if want := expect(p, native, table, c); got != want {
					t.Fatalf("%s: %s call %d (%s) with %#x: program answers %#x, profile %#x", native, arch, number, name, a, got, want)
				}
			}
		}
	}
	for _, foreign := range []uint32{0, 0x80000016, 0xc00000f3} {
		if got, _ := interpret(t, code, call{arch: foreign}); got != expect(p, native, table, call{arch: foreign}) {
			t.Fatalf("%s: a call of architecture %#x is answered with %#x", native, foreign, got)
		}
	}
}

func TestDefaultsDoWhatTheySay(t *testing.T) {
	table := names()
	for _, name := range []string{seccomp.Application, seccomp.System} {
		for _, arch := range seccomp.Architectures() {
			compare(t, builtin(t, name), arch, table, rand.New(rand.NewPCG(1, 2)))
		}
	}
}

func TestRandomProfilesDoWhatTheySay(t *testing.T) {
	table := names()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 200+random.IntN(1000))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		compare(t, invent(data), seccomp.Architectures()[seed%4], table, random)
	}
}

// FuzzCompile holds the programs of profiles made of random bytes to what those say.
func FuzzCompile(f *testing.F) {
	f.Add([]byte("a profile"), uint8(0))
	f.Add(bytes.Repeat([]byte{6, 200, 3, 1, 255, 7}, 90), uint8(2))
	table := names()
	f.Fuzz(func(t *testing.T, data []byte, arch uint8) {
		if len(data) > 2048 {
			return
		}
		native := seccomp.Architectures()[arch%4]
		p := invent(data)
		program, err := p.Compile(native)
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if n := program.Len(); n > seccomp.MostInstructions {
			t.Fatalf("%d instructions", n)
		}
		random := rand.New(rand.NewPCG(uint64(len(data)), uint64(arch)))
		everything := near(p, "", random)
		for range 300 {
			c := call{number: random.Uint32N(500), arch: audit[native], arguments: everything[random.IntN(len(everything))]}
			if companion := audit[seccomp.Companion(native)]; random.IntN(3) == 0 {
				c.arch = companion
			}
			if got, _ := interpret(t, program.Bytes(), c); got != expect(p, native, table, c) {
				t.Fatalf("%s: %+v: program answers %#x, profile %#x", native, c, got, expect(p, native, table, c))
			}
		}
	})
}

// invent makes a profile that is right in form out of any bytes.
func invent(data []byte) seccomp.Profile {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return b
	}
	action := func() seccomp.Action {
		switch k := seccomp.Kind(next()%6 + 1); k {
		case seccomp.KindErrno, seccomp.KindTrap:
			return seccomp.Action{Kind: k, Data: uint16(next())}
		default:
			return seccomp.Action{Kind: k}
		}
	}
	value := func() uint64 {
		var b [8]byte
		for i := range 1 + next()%8 {
			b[i] = next()
		}
		return bits.RotateLeft64(binary.LittleEndian.Uint64(b[:]), int(next()))
	}
	all := slices.Sorted(maps.Keys(seccomp.Calls("amd64")))
	p := seccomp.Profile{Name: "invented", Default: action(), Unknown: action(), Companion: next()%2 == 0, Foreign: seccomp.KillThread}
	for len(data) > 0 && len(p.Rules) < 300 {
		r := seccomp.Rule{Action: action()}
		for range 1 + next()%20 {
			r.Names = append(r.Names, all[(int(next())|int(next())<<8)%len(all)])
		}
		for range next() % 4 {
			c := seccomp.Condition{Argument: next() % 6, Operator: seccomp.Operator(next()%7 + 1), Value: value()}
			if c.Operator == seccomp.MaskedEqual {
				c.Mask = value()
				c.Value &= c.Mask
			}
			r.When = append(r.When, c)
		}
		p.Rules = append(p.Rules, r)
	}
	p.Rules = append(p.Rules, seccomp.Rule{Names: []string{"kexec_load"}, Action: seccomp.KillProcess})
	return p
}

// TestProgramsAreShort bounds what a start pays: the kernel runs the program once for each number when it is loaded.
func TestProgramsAreShort(t *testing.T) {
	for _, c := range []struct {
		profile, arch      string
		instructions, deep int
	}{
		{seccomp.Application, "amd64", 160, 16},
		{seccomp.Application, "arm64", 160, 16},
		{seccomp.System, "amd64", 300, 16},
		{seccomp.System, "arm64", 300, 16},
	} {
		program, err := builtin(t, c.profile).Compile(c.arch)
		if err != nil {
			t.Fatal(err)
		}
		code, deepest, mean, calls := program.Bytes(), 0, 0, seccomp.Calls(c.arch)
		for name, number := range calls {
			_, steps := interpret(t, code, call{number: number, arch: audit[c.arch]})
			mean += steps
			if conditional := slices.Contains([]string{"socket", "socketpair", "socketcall", "ioctl", "clone", "personality"}, name); !conditional {
				deepest = max(deepest, steps)
			}
		}
		t.Logf("%s on %s: %d instructions, %d deep, %.1f a call", c.profile, c.arch, program.Len(), deepest, float64(mean)/float64(len(calls)))
		if program.Len() > c.instructions || deepest > c.deep {
			t.Errorf("%s on %s has %d instructions and is %d deep, above %d and %d", c.profile, c.arch, program.Len(), deepest, c.instructions, c.deep)
		}
	}
}

// TestLongJumps has a program in which both sides of most branches are further off than a conditional jump reaches.
func TestLongJumps(t *testing.T) {
	p := seccomp.Profile{Default: seccomp.Errno(1), Unknown: seccomp.Errno(38), Companion: true, Foreign: seccomp.KillProcess}
	for i, name := range slices.Sorted(maps.Keys(seccomp.Calls("amd64"))) {
		if i%2 == 0 || i > 300 {
			continue
		}
		p.Rules = append(p.Rules, seccomp.Rule{
			Names: []string{name}, Action: seccomp.Errno(uint16(i + 100)),
			When: []seccomp.Condition{{Argument: uint8(i % 6), Operator: seccomp.Operator(i%6 + 1), Value: uint64(i) << 30}},
		})
	}
	program, err := p.Compile("amd64")
	if err != nil {
		t.Fatal(err)
	}
	if n := program.Len(); n < 1500 {
		t.Errorf("%d instructions, want 1500 and more for this test to be one", n)
	}
	compare(t, p, "amd64", names(), rand.New(rand.NewPCG(3, 4)))
}

func TestCompileRefuses(t *testing.T) {
	good := seccomp.Profile{Name: "web", Default: seccomp.Errno(1), Unknown: seccomp.Errno(38), Foreign: seccomp.KillProcess}
	rule := func(r seccomp.Rule) func(*seccomp.Profile) {
		return func(p *seccomp.Profile) { p.Rules = []seccomp.Rule{r} }
	}
	when := func(c seccomp.Condition) func(*seccomp.Profile) {
		return rule(seccomp.Rule{Names: []string{"read"}, Action: seccomp.Allow, When: []seccomp.Condition{c}})
	}
	for _, c := range []struct {
		name, want string
		class      error
		arch       string
		change     func(*seccomp.Profile)
	}{
		{"nothing", `compile seccomp profile: default action: there is no action of kind 0`, domain.ErrInvalid, "amd64", func(p *seccomp.Profile) { *p = seccomp.Profile{} }},
		{"no unknown", `compile seccomp profile "web": unknown action: there is no action of kind 0`, domain.ErrInvalid, "amd64", func(p *seccomp.Profile) { p.Unknown = seccomp.Action{} }},
		{
			"foreign permitted", `compile seccomp profile "web": foreign action: calls of an architecture without a table cannot be told apart and are not permitted`,
			domain.ErrInvalid, "amd64", func(p *seccomp.Profile) { p.Foreign = seccomp.Allow },
		},
		{
			"no filter", `compile seccomp profile "web": it refuses no call; a domain without a filter is of profile "privileged"`,
			domain.ErrInvalid, "amd64", func(p *seccomp.Profile) { p.Default = seccomp.Log },
		},
		{
			"architecture", `compile seccomp profile "web": there is no table of system calls for architecture "riscv64", only for amd64, 386, arm64, arm`,
			domain.ErrUnsupported, "riscv64", func(*seccomp.Profile) {},
		},
		{"no names", `compile seccomp profile "web": rules[0]: it names no call`, domain.ErrInvalid, "amd64", rule(seccomp.Rule{Action: seccomp.Allow})},
		{
			"unknown name", `compile seccomp profile "web": rules[0]: there is no system call "raed"`,
			domain.ErrInvalid, "amd64", rule(seccomp.Rule{Names: []string{"raed"}, Action: seccomp.Allow}),
		},
		{
			"errno", `compile seccomp profile "web": rules[0]: error number 4096 is above 4095`,
			domain.ErrInvalid, "amd64", rule(seccomp.Rule{Names: []string{"read"}, Action: seccomp.Errno(4096)}),
		},
		{
			"data", `compile seccomp profile "web": rules[0]: only errno and trap have a number, and it is 7`,
			domain.ErrInvalid, "amd64", rule(seccomp.Rule{Names: []string{"read"}, Action: seccomp.Action{Kind: seccomp.KindAllow, Data: 7}}),
		},
		{
			"argument", `compile seccomp profile "web": rules[0]: when[0]: there is no argument 6: they count from 0 to 5`,
			domain.ErrInvalid, "amd64", when(seccomp.Condition{Argument: 6, Operator: seccomp.Equal}),
		},
		{"operator", `compile seccomp profile "web": rules[0]: when[0]: there is no operator 0`, domain.ErrInvalid, "amd64", when(seccomp.Condition{})},
		{
			"mask", `compile seccomp profile "web": rules[0]: when[0]: only a masked comparison has a mask, and it is 0x1`,
			domain.ErrInvalid, "amd64", when(seccomp.Condition{Operator: seccomp.Equal, Mask: 1}),
		},
		{
			"never", `compile seccomp profile "web": rules[0]: when[0]: value 0x3 has bits outside mask 0x1 and never matches`,
			domain.ErrInvalid, "amd64", when(seccomp.Condition{Operator: seccomp.MaskedEqual, Value: 3, Mask: 1}),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good
			c.change(&p)
			program, err := p.Compile(c.arch)
			if err == nil || err.Error() != c.want || !errors.Is(err, c.class) {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if program.Len() != 0 {
				t.Errorf("there is a program of %d instructions all the same", program.Len())
			}
		})
	}
}

func TestCompileRefusesWhatTheKernelWould(t *testing.T) {
	p := seccomp.Profile{Name: "long", Default: seccomp.Errno(1), Unknown: seccomp.Errno(38), Foreign: seccomp.KillProcess}
	for i := range 1500 {
		p.Rules = append(p.Rules, seccomp.Rule{
			Names: []string{"read"}, Action: seccomp.Errno(uint16(i)), When: []seccomp.Condition{{Operator: seccomp.Equal, Value: uint64(i)}},
		})
	}
	_, err := p.Compile("amd64")
	if !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("error %v, want an invalid argument", err)
	}
}

// TestCompileOnce shows that the cache neither mixes up profiles nor gives away what it keeps.
func TestCompileOnce(t *testing.T) {
	p := builtin(t, seccomp.Application)
	first, err := p.Compile("amd64")
	if err != nil {
		t.Fatal(err)
	}
	clear(first.Bytes())
	again, err := p.Compile("amd64")
	if err != nil || again != first || bytes.Count(again.Bytes(), []byte{0}) == len(again.Bytes()) {
		t.Errorf("the second program is not the first: %v", err)
	}
	p.Rules = append([]seccomp.Rule{{Names: []string{"read"}, Action: seccomp.Errno(5)}}, p.Rules...)
	other, err := p.Compile("amd64")
	if err != nil || other == first {
		t.Errorf("a changed profile has the old program: %v", err)
	}
	if arm, err := p.Compile("arm64"); err != nil || arm == other {
		t.Errorf("another architecture has the same program: %v", err)
	}
	for i := range uint16(200) { // more than it keeps
		p.Rules[0].Action = seccomp.Errno(i)
		program, err := p.Compile("amd64")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := interpret(t, program.Bytes(), call{arch: audit["amd64"]}); got != code(seccomp.Errno(i)) {
			t.Fatalf("read is answered with %#x, want error %d", got, i)
		}
	}
	if back, err := builtin(t, seccomp.Application).Compile("amd64"); err != nil || back != first {
		t.Errorf("the program changed after others were compiled: %v", err)
	}
}

func builtin(tb testing.TB, name string) seccomp.Profile {
	tb.Helper()
	p, err := seccomp.Default(name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// BenchmarkCompile is without the cache: each profile is a new one.
func BenchmarkCompile(b *testing.B) {
	for _, name := range []string{seccomp.Application, seccomp.System} {
		b.Run(name, func(b *testing.B) {
			p := builtin(b, name)
			p.Rules = append(p.Rules, seccomp.Rule{Names: []string{"read"}, Action: seccomp.Allow, When: []seccomp.Condition{{Operator: seccomp.Equal}}})
			for i := 0; b.Loop(); i++ {
				p.Rules[len(p.Rules)-1].When[0].Value = uint64(i)
				if _, err := p.Compile("amd64"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompiled is what a start pays.
func BenchmarkCompiled(b *testing.B) {
	p := builtin(b, seccomp.System)
	for b.Loop() {
		if _, err := p.Compile("amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
