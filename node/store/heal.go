package store

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// How often an index whose disk failed is tried anew.
const (
	healFirst = 250 * time.Millisecond
	healMost  = 10 * time.Second
)

// healer owns the goroutine that opens the index anew once its disk works again. It sleeps until there is trouble.
type healer struct {
	kick chan struct{}
	stop chan struct{}
	done chan struct{}
}

func newHealer() healer {
	return healer{kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// wakeHeal tells that there is trouble. It never blocks: Pebble calls it.
func (s *Store) wakeHeal() {
	select {
	case s.heal.kick <- struct{}{}:
	default:
	}
}

func (s *Store) startHeal() { go s.healLoop() }

func (s *Store) stopHeal() {
	close(s.heal.stop)
	<-s.heal.done
}

func (s *Store) healLoop() {
	defer close(s.heal.done)
	for {
		select {
		case <-s.heal.stop:
			return
		case <-s.heal.kick:
		}
		for pause := healFirst; s.ailing(); pause = min(2*pause, healMost) {
			timer := time.NewTimer(pause)
			select {
			case <-s.heal.stop:
				timer.Stop()
				return
			case <-timer.C:
			}
			s.heal1()
		}
	}
}

// ailing tells whether there is something that time may heal.
func (s *Store) ailing() bool {
	log := s.db.now.Load().log
	return log.bad.Load() == nil && log.fatal() != nil || s.journal.behind()
}

// heal1 tries once.
func (s *Store) heal1() {
	if s.spare.fill() != nil || s.room() != nil {
		return
	}
	if s.db.now.Load().fs.err() != nil {
		if err := s.probe(); err != nil {
			s.cfg.Logger.Debug("the disk of the home still fails", "error", err)
			return
		}
		if err := s.reopen(); err != nil {
			s.cfg.Logger.Warn("index cannot be opened anew, and is tried again", "error", err)
			return
		}
		s.cfg.Logger.Info("index works again")
	}
	s.journal.mend(s)
}

// probe writes a file into the home, durably.
func (s *Store) probe() error {
	path := filepath.Join(s.home, "probe")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}

// reopen replaces an engine whose disk was cut off by a new one, which goes on from what is on the disk as after a power
// cut, and gets again what was applied since the last sync. Nobody is inside the gate meanwhile; readers wait.
func (s *Store) reopen() error {
	for {
		// Who is inside may want the lock, so it is not held while they are waited for.
		s.mu.Lock()
		if s.gate.pause() {
			break
		}
		s.mu.Unlock()
		select {
		case <-s.heal.stop:
			return ErrClosed
		case <-time.After(time.Millisecond):
		}
	}
	old := s.db.now.Load()
	err := s.replaceEngine()
	s.gate.resume()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.gen.Add(1)
	// Nobody uses the old one. It is closed as it is, with a disk that refuses all: were its writes to succeed in the void, it
	// would go on to compact, and read tables of the new one under the numbers that it gave to its own.
	if err := old.db.Close(); err != nil {
		s.cfg.Logger.Debug("the index that failed is closed", "error", firstLine(err.Error()))
	}
	return nil
}

func (s *Store) replaceEngine() error {
	e, err := s.openEngine(false)
	if err != nil {
		return openError(filepath.Join(s.home, indexName), err)
	}
	for _, repr := range s.redo.batches {
		b := s.db.NewBatch()
		err := b.SetRepr(append([]byte(nil), repr...))
		if err == nil {
			err = e.db.Apply(b, pebble.NoSync)
		}
		if err != nil {
			e.db.Close()
			return err
		}
	}
	if err := e.db.LogData(nil, pebble.Sync); err != nil || e.fs.err() != nil {
		e.db.Close()
		return errors.Join(err, e.fs.err())
	}
	s.redo.all()
	s.db.now.Store(e)
	return nil
}
