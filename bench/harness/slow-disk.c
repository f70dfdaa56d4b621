/* Adds a delay to fdatasync and fsync: microseconds, read at each call from the file that SLOW_DISK_FILE names. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int32_t *delay_us;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SLOW_DISK_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(0, sizeof(int32_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED) delay_us = page;
}

static int then_wait(long result) {
  if (delay_us && *delay_us > 0) usleep((useconds_t)*delay_us);
  return (int)result;
}

int fdatasync(int file) { return then_wait(syscall(SYS_fdatasync, file)); }
int fsync(int file) { return then_wait(syscall(SYS_fsync, file)); }
