/* Threads that wait for work, for the `parallel_for` of kolibri_parallel. */
#ifndef KOLIBRI_EXAMPLE_THREADS_H
#define KOLIBRI_EXAMPLE_THREADS_H

#include <kolibri.h>
#include <pthread.h>

enum { THREADS = 4 }; /* the caller of parallel_for is one of them */

struct threads {
  pthread_t ids[THREADS - 1];
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  kolibri_task task; /* NULL: end */
  void *arg;
  size_t n, next, running;
  unsigned long turn;
};

/* Takes tasks until none is left; called and left with the lock held. */
static void threads_take(struct threads *t) {
  while (t->next < t->n) {
    size_t i = t->next++;
    pthread_mutex_unlock(&t->lock);
    t->task(t->arg, i);
    pthread_mutex_lock(&t->lock);
  }
}

static void *threads_main(void *ctx) {
  struct threads *t = (struct threads *)ctx;
  unsigned long turn = 0;
  pthread_mutex_lock(&t->lock);
  for (;;) {
    while (t->turn == turn)
      pthread_cond_wait(&t->work, &t->lock);
    turn = t->turn;
    if (t->task == NULL)
      break;
    threads_take(t);
    if (--t->running == 0)
      pthread_cond_signal(&t->done);
  }
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

static void threads_wake(struct threads *t, size_t n, kolibri_task task, void *arg) {
  t->task = task;
  t->arg = arg;
  t->n = n;
  t->next = 0;
  t->running = THREADS - 1;
  t->turn++;
  pthread_cond_broadcast(&t->work);
}

/* A kolibri_parallel.parallel_for. */
static void threads_for(void *ctx, size_t n, kolibri_task task, void *arg) {
  struct threads *t = (struct threads *)ctx;
  pthread_mutex_lock(&t->lock);
  threads_wake(t, n, task, arg);
  threads_take(t);
  while (t->running > 0)
    pthread_cond_wait(&t->done, &t->lock);
  pthread_mutex_unlock(&t->lock);
}

static int threads_start(struct threads *t) {
  size_t i;
  t->turn = 0;
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->work, NULL);
  pthread_cond_init(&t->done, NULL);
  for (i = 0; i < THREADS - 1; i++)
    if (pthread_create(&t->ids[i], NULL, threads_main, t) != 0)
      return 0;
  return 1;
}

static void threads_end(struct threads *t) {
  size_t i;
  pthread_mutex_lock(&t->lock);
  threads_wake(t, 0, NULL, NULL);
  pthread_mutex_unlock(&t->lock);
  for (i = 0; i < THREADS - 1; i++)
    pthread_join(t->ids[i], NULL);
  pthread_cond_destroy(&t->done);
  pthread_cond_destroy(&t->work);
  pthread_mutex_destroy(&t->lock);
}

#endif
