package native

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A list of ranges that was lost, or cannot be read, keeps no domain from being started or released. What was readable of it is taken over,
// each davitd writes down again what it knows that its domains have, and what domains that run have their plans tell.

// formerDir is where the list was until it outlived the host's boot.
const formerDir = "/run/davit-ids"

// open reads the list. One that is missing is begun with that of the former place, one that is damaged is set aside.
func (a ids) open(dir *os.File) (*ledger, error) {
	text, err := readAt(dir, ledgerName, ledgerBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return a.former(), nil
	}
	if err != nil {
		return nil, err
	}
	l, err := parseLedger(dir.Name(), text)
	if err == nil {
		return l, nil
	}
	aside := fmt.Sprintf("%s.damaged-%d", ledgerName, time.Now().UnixNano())
	if wrong := unix.Renameat(int(dir.Fd()), ledgerName, int(dir.Fd()), aside); wrong != nil {
		return nil, errors.Join(err, fmt.Errorf("set it aside: %w", wrong))
	}
	l = salvage(text)
	a.log.Error("the list of host ids is damaged; it is made anew of what can be read of it and of what domains have",
		zap.String("aside", filepath.Join(dir.Name(), aside)), zap.Int("claims read", len(l.Claims)), zap.Error(err))
	return l, nil
}

// former is the list of the former place; an empty one if there is none that can be read.
func (a ids) former() *ledger {
	l := new(ledger)
	if a.pool.Former == "" {
		return l
	}
	text, err := os.ReadFile(filepath.Join(a.pool.Former, ledgerName))
	if err == nil {
		l, err = parseLedger(a.pool.Former, text)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("the former list of host ids cannot be read", zap.Error(err))
		}
		return new(ledger)
	}
	l.changed = true
	return l
}

// salvage takes the whole claims of a list that is damaged, up to the place where it is.
func salvage(text []byte) *ledger {
	l := &ledger{changed: true}
	_, rest, found := bytes.Cut(text, []byte(`"claims":[`))
	for claims := json.NewDecoder(bytes.NewReader(append([]byte{'['}, rest...))); found; {
		if len(l.Claims) == 0 {
			if _, err := claims.Token(); err != nil {
				break
			}
		}
		var c claim
		if !claims.More() || claims.Decode(&c) != nil {
			break
		}
		l.Claims = append(l.Claims, c)
	}
	return l
}

// mend adds what this davitd's domains have and the list does not say. Nobody else changes that.
func (a ids) mend(l *ledger) {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	a.view.learn(l, a.instance)
	for _, c := range a.view.lost {
		if !l.conflicts(c, nil) {
			l.add(c)
		}
	}
}

// remember keeps what this davitd's domains have by a list that is written: whatever else they had they gave back.
func (a ids) remember(l *ledger) {
	a.view.mu.Lock()
	defer a.view.mu.Unlock()
	a.view.learn(l, a.instance)
	a.view.lost = nil
}

// reclaim writes down what a domain that runs has, unless the list says so.
func (a ids) reclaim(uuid, name, folder string, m maps, given bool) error {
	c := claim{Instance: a.instance, UUID: uuid, Name: name, Folder: folder, Given: given}
	if !given {
		c.Folder = a.home
	}
	c.UID, c.GID = m.ranges()
	return a.update(func(l *ledger) error {
		if slices.ContainsFunc(l.Claims, func(o claim) bool { return o.of(a.instance, uuid) && !o.Idle }) {
			return nil
		}
		l.drop(func(o claim) bool { return o.of(a.instance, uuid) })
		var err error
		l.conflicts(c, func(o claim, r Range) { err = fmt.Errorf("host ids %s are those of %s, too", r, o.words(a.instance)) })
		l.add(c) // also then: whoever comes later is not to have them
		return err
	})
}

// reclaimIDs claims again what the plan of a run that was found has, where the list of ranges was lost meanwhile.
func (i *instance) reclaimIDs(ctx context.Context) {
	def := i.spec.Definition
	given := len(def.GetIdmap().GetUid()) > 0
	if !given && !needsRange(def) {
		return
	}
	_, allotted, claimed, err := i.d.ids.look(i.spec.UUID)
	if err == nil && (allotted || claimed) {
		return
	}
	var plan *monitorv1.Plan
	if plan, err = i.monitor.Plan(ctx); err == nil && len(plan.GetUidMap()) > 0 {
		err = i.d.ids.reclaim(i.spec.UUID, def.GetName(), i.d.states.path(i.spec.UUID), maps{plan.GetUidMap(), plan.GetGidMap()}, given)
	}
	if err != nil {
		i.d.log.Warn("claim again the host ids of a domain that runs", zap.String("uuid", i.spec.UUID), zap.Error(err))
	}
}
