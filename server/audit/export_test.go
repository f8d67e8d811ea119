package audit

import (
	"os"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// WithWrite has files written to by a function.
func (o LogOptions) WithWrite(write func(*os.File, []byte) (int, error)) LogOptions {
	o.write = write
	return o
}

// WithSync has files brought to the disk by a function.
func (o LogOptions) WithSync(sync func(*os.File) error) LogOptions {
	o.sync = sync
	return o
}

// WithBoot is for a host that was booted under this name.
func (o LogOptions) WithBoot(boot string) LogOptions {
	o.boot = boot
	return o
}

// Summarize tells what a request asks for.
func Summarize(q proto.Message) *structpb.Struct { return summarize(q) }

// NewKernel hands records to a function.
func NewKernel(log *zap.Logger, send func(kind uint16, text string) error) *Kernel {
	return newKernel(log, send, func() error { return nil })
}

// SetLimit sets how long the kernel has at the end, before it comes.
func (k *Kernel) SetLimit(limit time.Duration) { k.limit = limit }

// Over tells whether that time is over.
func (k *Kernel) Over() bool { return k.over.Load() }

// Tell hands a record over.
func (k *Kernel) Tell(r *davitv1.AuditRecord) { k.tell(r) }

// Line is a record as the kernel's audit has it.
func (k *Kernel) Line(r *davitv1.AuditRecord) (kind uint16, text string) { return k.line(r) }

// SendToKernel sends one record to the kernel's audit of this host.
func SendToKernel(kind uint16, text string) error {
	s, err := openNetlink()
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	return s.send(kind, text)
}
