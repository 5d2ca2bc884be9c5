/* gather_mpi.c — by MPI.  Waiting sleeps between looks: MPI would spin, and take a core from the ranks that
 * are still counting. */
#include "cli/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mpi.h>

enum { BLOCK = 1 << 20, NAP = 20 * 1000 /* microseconds */ };

bool gather_is_built(void) { return true; }

static void wait_for(MPI_Request *request)
{
    for (int done = 0; !done;) {
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (!done) usleep(NAP);
    }
}

/* The largest of all ranks' values, when all have come. */
static int largest(int value)
{
    int most = value;
    MPI_Request request;
    MPI_Iallreduce(&value, &most, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD, &request);
    wait_for(&request);
    return most;
}

/* Blocks, and an empty one at the end; a file that cannot be read ends early and is found short. */
static void send_file(const char *path, char *block)
{
    FILE *file = fopen(path, "rbe");
    size_t count;
    do {
        count = file ? fread(block, 1, BLOCK, file) : 0;
        MPI_Send(block, (int)count, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    } while (count > 0);
    if (file) fclose(file);
}

static t2d_status receive_file(int from, const char *path, char *block, t2d_error *err)
{
    t2d_outfile out = {0};
    t2d_status status = t2d_outfile_open(&out, path, err);
    for (int count = 1; count > 0;) { /* to the end, whatever the disk says: the sender sends it all */
        MPI_Status got;
        MPI_Recv(block, BLOCK, MPI_BYTE, from, 0, MPI_COMM_WORLD, &got);
        MPI_Get_count(&got, MPI_BYTE, &count);
        if (status == T2D_OK) fwrite(block, 1, (size_t)count, out.stream); /* commit sees what failed */
    }
    return status ? status : t2d_outfile_commit(&out, err);
}

/* Rank 0 receives from one rank after the other, its own part included. */
static int exchange(const ranks *r, const char *path, char *block)
{
    int code = EXIT_GOOD;
    for (int rank = 0; rank < r->count; rank++) {
        t2d_error err;
        char *part = ranks_part(path, rank, r->count), *name = gather_name(path, rank, r->count);
        if (!part || !name) return complain_text(EXIT_FAILED, "gathering results: out of memory");
        if (r->rank == rank && rank > 0) send_file(part, block);
        if (r->rank == 0 && rank > 0 && receive_file(rank, name, block, &err) != T2D_OK)
            code = complain(EXIT_FAILED, &err);
        if (r->rank == 0 && rank == 0) {
            unlink(name);
            if (link(part, name) != 0) code = complain_text(EXIT_FAILED, "%s: cannot be linked", part);
        }
        free(part);
        free(name);
    }
    return code;
}

int gather_parts(const ranks *self, const char *path, int code)
{
    int rank, count, provided;
    char *block = malloc(BLOCK);
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    int own = block ? code : EXIT_FAILED;
    if (rank != self->rank || count != self->count)
        own = complain_text(EXIT_MISUSE, "MPI says rank %d of %d, %s says rank %d of %d", rank, count,
                            self->from, self->rank, self->count);
    if (largest(own) == EXIT_GOOD)
        own = exchange(self, path, block);
    else if (own == EXIT_GOOD)
        own = complain_text(EXIT_FAILED, "another rank did not come through; this one's pictures are kept");
    MPI_Finalize();
    free(block);
    return own;
}
