package consolelog

// Bounds, for tests.
const (
	Capacity = capacity
	Longest  = longest
)

// OpenOn makes a log that writes by a function.
func OpenOn(write func(lines []byte) (int, error), fault func(error)) *Log {
	return open(false, writer(write), fault)
}

type writer func([]byte) (int, error)

func (w writer) write(lines []byte) (int, error) { return w(lines) }
func (w writer) close()                          {}
