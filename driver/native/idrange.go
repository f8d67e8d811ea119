package native

import (
	"fmt"
	"slices"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ids is the allocator of one instance.
type ids struct {
	pool     Pool
	instance string
	home     string // a folder of davitd's that outlives the boot
	view     *view
	log      *zap.Logger
}

func newIDs(pool Pool, instance, home string) ids {
	return ids{pool, instance, home, new(view), zap.NewNop()}
}

// allocate gives a domain the range that it has, or one that nobody has; fresh tells that it is the latter. The range is the domain's
// until forget. One that meanwhile belongs to a user of the host, or is not as long as those of the pool, is changed for another.
//
// Almost always a domain has one, from its first start or its definition. To find that takes no lock, and no look at the list of all.
func (a ids) allocate(uuid, name string) (given Range, fresh bool, err error) {
	users, err := a.pool.subordinates()
	if err != nil {
		return Range{}, false, err
	}
	taken := rangesOf(users)
	usable := func(own Range) bool { return own.Count == a.pool.Size && !slices.ContainsFunc(taken, own.overlaps) }
	if own, ok, _, unseen := a.look(uuid); unseen == nil && ok && usable(own) {
		return own, false, nil
	}
	err = a.update(func(l *ledger) error {
		if own, ok := l.allotted(a.instance, uuid); ok && usable(own) {
			given = own
			return nil
		}
		l.drop(func(c claim) bool { return c.of(a.instance, uuid) })
		slot, next, found := a.pool.free(a.pool.occupied(taken, l.ranges()), l.Next)
		if !found && l.dropStale() {
			slot, next, found = a.pool.free(a.pool.occupied(taken, l.ranges()), l.Next)
		}
		if found {
			given, fresh = a.pool.slot(slot), true
			l.Next = next
			l.add(claim{Instance: a.instance, UUID: uuid, Name: name, Folder: a.home, UID: []Range{given}, GID: []Range{given}})
			return nil
		}
		return &domain.Error{
			Code: codes.ResourceExhausted, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED,
			Op: "allocate ids", Message: a.pool.full(users),
			Detail: map[string]string{"base": decimal(a.pool.Base), "size": decimal(a.pool.Size), "count": decimal(a.pool.Count)},
		}
	})
	return given, fresh, err
}

// allotted is the range that a domain has, the first that no user of the host has if it has none yet. It waits for nobody: what is told is
// what was so a moment ago.
func (a ids) allotted(uuid string) Range {
	if own, ok, _, err := a.look(uuid); err == nil && ok {
		return own
	}
	users, _ := a.pool.subordinates() // a start tells what cannot be read
	slot, _, _ := a.pool.free(a.pool.occupied(rangesOf(users)), 0)
	return a.pool.slot(slot)
}

// claim holds the ranges that a definition gives, unless another domain has them; fresh tells that they were not listed for it before.
func (a ids) claim(uuid, name, folder string, m maps) (fresh bool, err error) {
	c := claim{Instance: a.instance, UUID: uuid, Name: name, Folder: folder, Given: true}
	c.UID, c.GID = m.ranges()
	err = a.update(func(l *ledger) error {
		before := len(l.Claims)
		l.drop(func(c claim) bool { return c.of(a.instance, uuid) })
		fresh = len(l.Claims) == before
		rival := a.rival(l, c)
		if rival != nil && l.dropStale() {
			rival = a.rival(l, c)
		}
		if rival == nil {
			l.add(c)
		}
		return rival
	})
	return fresh, err
}

// rival is the error of a claim by <idmap> whose ids another domain has.
func (a ids) rival(l *ledger, c claim) (err error) {
	l.conflicts(c, func(o claim, r Range) {
		message := fmt.Sprintf("host ids %s of <idmap> are those of %s; ", r, o.words(a.instance))
		if o.Given {
			message += "stop that before, or name others"
		} else {
			message += "name others"
		}
		err = &domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY, Op: "claim ids", Message: message,
			Detail: map[string]string{"owner": o.UUID, "owner_name": o.Name, "ids": r.String()},
		}
	})
	return err
}

// reserve has the ids that definitions name allotted to nobody, from now on until the domain is forgotten or defined otherwise. What is
// listed already is found without the lock.
func (a ids) reserve(definitions []*davitv1.Domain) error {
	var list []claim
	for _, def := range definitions {
		if c := a.named(def); !a.holds(c) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return a.update(func(l *ledger) error {
		for _, c := range list {
			l.hold(c)
		}
		return nil
	})
}

// taken tells whose the ids are that a definition names, if another domain has them whether it runs or not; nil if none has.
func (a ids) taken(def *davitv1.Domain) error {
	dir, err := openFolder(a.pool.Dir)
	if err != nil {
		return nil // there is no list yet, or the start tells
	}
	defer func() { _ = dir.Close() }()
	l, err := readLedger(dir)
	if err != nil {
		return nil
	}
	c := a.named(def)
	l.drop(func(o claim) bool { return o.Given || o.of(c.Instance, c.UUID) })
	return a.rival(l, c)
}

// named is the claim of the ids that a definition names.
func (a ids) named(def *davitv1.Domain) claim {
	c := claim{Instance: a.instance, UUID: def.GetUuid(), Name: def.GetName(), Folder: a.home, Given: true, Idle: true}
	c.UID, c.GID = maps{given(def.GetIdmap().GetUid()), given(def.GetIdmap().GetGid())}.ranges()
	return c
}

// release gives back what a domain has as long as it runs.
func (a ids) release(uuid string) error {
	if _, _, given, err := a.look(uuid); err == nil && !given {
		return nil
	}
	return a.update(func(l *ledger) error {
		l.rest(func(c claim) bool { return c.of(a.instance, uuid) && c.Given }, a.home)
		return nil
	})
}

// forget gives back what a domain has as long as it is defined, too.
func (a ids) forget(uuid string) error {
	return a.update(func(l *ledger) error {
		l.drop(func(c claim) bool { return c.of(a.instance, uuid) })
		return nil
	})
}

// sweep gives back what this instance's domains have that do not run, or are not defined.
func (a ids) sweep(runs, defined func(uuid string) bool) error {
	return a.update(func(l *ledger) error {
		l.drop(func(c claim) bool { return c.Instance == a.instance && !defined(c.UUID) })
		l.rest(func(c claim) bool { return c.Instance == a.instance && c.Given && !runs(c.UUID) }, a.home)
		return nil
	})
}
