package host

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Update changes the pools of huge pages and the merging of pages. A request that names what there is not is refused
// before anything is changed. The kernel gives a pool as many pages as it finds; the answer tells how many that were.
func (h *Host) Update(q *davitv1.UpdateHostRequest) (*davitv1.UpdateHostResponse, error) {
	settings, err := h.settings(q.GetMerging())
	if err != nil {
		return nil, err
	}
	changes, err := h.changes(q.GetPages())
	if err != nil {
		return nil, err
	}
	for _, s := range settings {
		if err := h.set(s.file, s.value); err != nil {
			return nil, refused(s.file, err)
		}
	}
	answer := &davitv1.UpdateHostResponse{}
	for _, c := range changes {
		grown, err := h.resize(c)
		if err != nil {
			return nil, err
		}
		answer.Allocated += grown
	}
	return answer, nil
}

// setting is a file of the kernel and what is written to it.
type setting struct {
	file  string
	value uint64
}

// settings are those of a request about merging.
func (h *Host) settings(m *davitv1.MemoryMerging) ([]setting, error) {
	var list []setting
	if m == nil {
		return nil, nil
	}
	if m.PagesToScan != nil {
		list = append(list, setting{mergingFolder + "pages_to_scan", uint64(m.GetPagesToScan())})
	}
	if m.SleepMillisecs != nil {
		list = append(list, setting{mergingFolder + "sleep_millisecs", uint64(m.GetSleepMillisecs())})
	}
	if m.MergeAcrossNodes != nil {
		value := uint64(0)
		if m.GetMergeAcrossNodes() {
			value = 1
		}
		list = append(list, setting{mergingFolder + "merge_across_nodes", value})
	}
	for _, s := range list {
		if !h.has(s.file) {
			return nil, lacking("ksm", fmt.Sprintf("the kernel has no /%s", s.file))
		}
	}
	return list, nil
}

// change is a pool and how it is to be.
type change struct {
	pool
	count uint64
	add   bool
}

// changes are the pools of a request.
func (h *Host) changes(pages []*davitv1.PageAllocation) ([]change, error) {
	if len(pages) == 0 {
		return nil, nil
	}
	cells, err := h.cells()
	if err != nil {
		return nil, err
	}
	var list []change
	for i, p := range pages {
		field := fmt.Sprintf("pages[%d]", i)
		chosen := cells
		if p.Cell != nil {
			at := slices.IndexFunc(cells, func(c cell) bool { return c.id == int(p.GetCell()) })
			if at < 0 {
				return nil, invalid(field+".cell", "there is no cell %d, the host has %d", p.GetCell(), len(cells))
			}
			chosen = cells[at : at+1]
		}
		for _, c := range chosen {
			wanted, err := h.change(field, c, p)
			if err != nil {
				return nil, err
			}
			list = append(list, wanted)
		}
	}
	return list, nil
}

// change is what an allocation means for one cell.
func (h *Host) change(field string, c cell, p *davitv1.PageAllocation) (change, error) {
	pools, err := h.pools(c)
	if err != nil {
		return change{}, err
	}
	if len(pools) == 0 {
		return change{}, lacking("huge pages", "the kernel has no pools of huge pages")
	}
	at := slices.IndexFunc(pools, func(o pool) bool { return o.pageKib == p.GetPageKib() })
	if at < 0 {
		var sizes []string
		for _, o := range pools {
			sizes = append(sizes, strconv.FormatUint(o.pageKib, 10))
		}
		return change{}, invalid(field+".page_kib", "there are no pools of pages of %d KiB; there are of %s KiB",
			p.GetPageKib(), strings.Join(sizes, ", "))
	}
	memory, err := h.memory(c)
	if err != nil {
		return change{}, err
	}
	if most := memory.GetTotalKib() / p.GetPageKib(); p.GetCount() > most {
		return change{}, invalid(field+".count", "%d pages of %d KiB, the memory of cell %d is %d of them",
			p.GetCount(), p.GetPageKib(), c.id, most)
	}
	return change{pools[at], p.GetCount(), p.GetAdd()}, nil
}

// resize changes a pool and tells by how many pages it grew.
func (h *Host) resize(c change) (grown uint64, err error) {
	file := c.dir + "/nr_hugepages"
	before, ok, err := h.number(file)
	if err != nil || !ok {
		return 0, errors.Join(err, refuseMissing(ok, file))
	}
	want := c.count
	if c.add {
		want += before
	}
	if err = h.set(file, want); err != nil {
		return 0, refused(file, err)
	}
	after, _, err := h.number(file)
	if err != nil {
		return 0, err
	}
	return after - min(after, before), nil
}

func refuseMissing(ok bool, file string) error {
	if ok {
		return nil
	}
	return lacking("huge pages", fmt.Sprintf("the kernel has no /%s", file))
}

// set writes a number to a file of the kernel.
func (h *Host) set(name string, value uint64) error {
	file, err := os.OpenFile(h.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(strconv.FormatUint(value, 10) + "\n")
	return errors.Join(err, file.Close())
}

// refused says that the kernel did not take a setting.
func refused(name string, err error) error {
	e := &domain.Error{
		Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
		Op: "set", Subject: "/" + name, Err: err,
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		e.Code, e.Reason = codes.FailedPrecondition, davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY
		e.Message = "pages are merged now"
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ERANGE):
		e.Code, e.Reason = codes.InvalidArgument, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Code, e.Reason = codes.FailedPrecondition, davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED
		e.Message = "the daemon may not"
	case errors.Is(err, syscall.ENOMEM):
		e.Code, e.Reason = codes.ResourceExhausted, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	}
	return e
}

// lacking says that the host has not what a request is about.
func lacking(feature, message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
		Op: "update host", Message: message, Detail: map[string]string{"feature": feature},
	}
}

// invalid refuses a request for one field of it.
func invalid(field, format string, args ...any) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Message:    "request is invalid",
		Violations: []domain.Violation{{Field: field, Message: fmt.Sprintf(format, args...)}},
	}
}
