/* eval.h — benchmarks: which pictures, what is true of them, how much of it was found.
 *
 * A PRESET says where a data set keeps its pictures and what its label files mean.  A LISTING is the pictures
 * that are there, in order.  A run appends one line per picture to a RESULTS file, which is all there is: it
 * resumes from it, shards are merged from it, and every number of a report is computed from it (TALLY). */
#ifndef T2D_EVAL_H
#define T2D_EVAL_H

#include "io/io.h"

#include <jansson.h>

enum {
    T2D_MOST_CLASSES = 4096, /* their confusion matrix takes 128 MB */
    T2D_MOST_LABEL_FILES = 4,
    T2D_RAW_LABELS = 1 << 16,
};
#define T2D_IGNORED ((uint16_t)UINT16_MAX)        /* a pixel that does not count */
#define T2D_UNMAPPED ((uint16_t)(UINT16_MAX - 1)) /* a raw label that should not occur */

/* ---- presets (preset.c, preset_read.c, label_map.c) ---- */

/* One way the labels of a picture may be stored. */
typedef struct t2d_label_file {
    const char *suffix;
    uint16_t *map; /* [T2D_RAW_LABELS] raw value -> label, T2D_IGNORED or T2D_UNMAPPED */
} t2d_label_file;

/* All strings live in `json`. */
typedef struct t2d_preset {
    json_t *json; /* as it was read */
    uint64_t hash;
    const char *name, *title;
    const char *root;              /* below the data folder; its leading parts may be left out */
    const char *pictures, *labels; /* folders below the root */
    const char *split; /* file of picture names below the root; NULL: all pictures that are there */
    const char *picture_suffix;
    t2d_label_file files[T2D_MOST_LABEL_FILES]; /* the first that exists is taken */
    int file_count;
    int label_count;      /* background included */
    const char **classes; /* [label_count]; aliases after ';' */
    uint8_t *palette;     /* [label_count, 3] */
    bool with_background, clean;
    float threshold, vit_l_threshold; /* with_background */
    int64_t expected;                 /* pictures in the published split; 0: not known */
} t2d_preset;

/* A built-in preset by name, or a JSON file (a name with '.' or '/' in it).  The caller closes. */
t2d_status t2d_preset_open(const char *name_or_file, t2d_preset **preset, t2d_error *err);
/* The same from text; `name` stands for it in messages. */
t2d_status t2d_preset_read(const char *text, size_t bytes, const char *name, t2d_preset **preset,
                           t2d_error *err);
void t2d_preset_close(t2d_preset *preset);

typedef struct t2d_preset_text {
    const char *name, *json;
} t2d_preset_text;
extern const t2d_preset_text t2d_preset_texts[]; /* the built-in ones; the last has no name */

/* Fills a map of T2D_RAW_LABELS from {"0-10": "1-11", "11": 4, "255": "ignore"}.  NULL: labels as they are.
 * `ignore`: a raw value that is ignored unless the map says otherwise; -1: none. */
t2d_status t2d_label_map_fill(const json_t *map, int label_count, int ignore, uint16_t *to, t2d_error *err);

/* ---- the pictures of a data folder (listing.c) ---- */

typedef struct t2d_listing {
    const t2d_preset *preset;
    char *root;   /* the folder that has pictures and labels */
    char **stems; /* [count] names below the picture folder, without suffix */
    int64_t count;
    uint64_t hash; /* of all names */
} t2d_listing;

/* data: the folder that holds the preset's root, or the root itself.  split: another file of names than the
 * preset's, or NULL. */
t2d_status t2d_listing_open(const t2d_preset *preset, const char *data, const char *split,
                            t2d_listing *listing, t2d_error *err);
void t2d_listing_release(t2d_listing *listing);

/* ---- one picture and what is true of it (sample.c) ---- */

typedef struct t2d_sample {
    t2d_status status;
    t2d_error err;
    t2d_image picture;
    t2d_labels truth; /* values are labels, or T2D_IGNORED */
    int file;         /* which of the preset's label files it was */
    uint64_t hash;    /* of both files' bytes */
    double seconds;
} t2d_sample;

/* Reads picture `index` and its labels, maps them, and checks both; what is wrong is in sample->status. */
void t2d_sample_read(const t2d_listing *listing, int64_t index, t2d_sample *sample);
void t2d_sample_release(t2d_sample *sample);

/* ---- counting (count.c, metrics.c) ---- */

/* Pixels that are `truth` and were found to be `found`. */
typedef struct t2d_cell {
    uint16_t truth, found;
    uint32_t pixels;
} t2d_cell;

/* The confusion matrix of one picture, without its zeros. */
typedef struct t2d_counter {
    int labels;
    uint32_t *matrix; /* [labels, labels], zero between pictures */
    t2d_cell *cells;  /* [count], by truth, then found */
    size_t count, capacity;
    int64_t ignored; /* pixels */
} t2d_counter;
t2d_status t2d_counter_init(t2d_counter *counter, int labels, t2d_error *err);
void t2d_counter_release(t2d_counter *counter);
/* Counts one picture: cells and ignored are its own.  Sizes agree, ids are below `labels`. */
t2d_status t2d_counter_count(t2d_counter *counter, const t2d_labels *truth, const t2d_mask *mask,
                             t2d_error *err);

/* The same from a table [labels, labels] that a machine has counted, of a picture of `pixels`. */
t2d_status t2d_counter_read(t2d_counter *counter, const uint32_t *table, int64_t pixels, t2d_error *err);

/* What metrics are made of, for one class. */
typedef struct t2d_class_count {
    uint64_t both, truth, found; /* pixels */
} t2d_class_count;

/* mmseg's: means over the classes that occur; NaN where none does. */
typedef struct t2d_metrics {
    double all_accuracy, mean_iou, mean_accuracy; /* 0..1 */
} t2d_metrics;
double t2d_class_iou(const t2d_class_count *c);      /* NaN: neither true nor found anywhere */
double t2d_class_accuracy(const t2d_class_count *c); /* NaN: true nowhere */
t2d_metrics t2d_metrics_of(const t2d_class_count *classes, int labels);

/* mIoU of a picture alone; NaN when no pixel of it counts. `room`: [labels], zero before and after. */
double t2d_cells_iou(const t2d_cell *cells, size_t count, t2d_class_count *room);

/* ---- results files (results.c, read_results.c, tally.c) ---- */

enum {
    T2D_STAGE_READ,    /* pictures and labels, in threads beside the others */
    T2D_STAGE_WAIT,    /* for reading, or for the counts of earlier pictures: what these cost in the end */
    T2D_STAGE_SEGMENT, /* the public call */
    T2D_STAGE_COUNT,   /* in a thread beside the others */
    T2D_STAGES
};

/* One picture's line. */
typedef struct t2d_record {
    int64_t picture; /* its place in the listing */
    const char *name;
    const char *failed; /* the sentence, when it could not be read; then nothing below is set */
    int width, height, file;
    uint64_t hash;
    int64_t ignored;
    double seconds[T2D_STAGES];
    const t2d_cell *cells;
    size_t cell_count;
} t2d_record;

/* The sum of records. */
typedef struct t2d_tally {
    int labels;
    uint64_t *confusion; /* [labels, labels]: truth, found */
    int64_t pictures, failed, pixels, ignored;
    int64_t by_file[T2D_MOST_LABEL_FILES]; /* pictures */
    uint64_t hash;                         /* of all pictures' bytes; any order */
    double seconds[T2D_STAGES];
} t2d_tally;
t2d_status t2d_tally_init(t2d_tally *tally, int labels, t2d_error *err);
void t2d_tally_release(t2d_tally *tally);
void t2d_tally_add(t2d_tally *tally, const t2d_record *record);
void t2d_tally_classes(const t2d_tally *tally, t2d_class_count *classes);

/* Reads a results file line by line. */
typedef struct t2d_reader {
    FILE *stream;
    const char *path;
    json_t *head; /* {"decides": what must agree, "ran": where and how, "shard": [first, step]} */
    int labels;
    int64_t pictures;    /* of the whole benchmark */
    int64_t first, step; /* this file is about pictures first, first + step, ... */
    int64_t at;          /* the next picture expected */
    int64_t line, sound; /* lines, and bytes of them, that are whole */
    char *text;
    size_t room;
    json_t *json;
    t2d_cell *cells;
    size_t cell_room;
} t2d_reader;
/* An empty file, or one whose first line was cut off, has head NULL. */
t2d_status t2d_reader_open(t2d_reader *reader, const char *path, t2d_error *err);
/* The next picture; *found is false at the end, or at a line that was cut off.  The record lives until the
 * next call. */
t2d_status t2d_reader_next(t2d_reader *reader, t2d_record *record, bool *found, t2d_error *err);
void t2d_reader_close(t2d_reader *reader);
/* How many pictures the file is about. */
int64_t t2d_share_count(int64_t pictures, int64_t first, int64_t step);

/* Both heads decide the same; otherwise the sentence names what differs. */
t2d_status t2d_heads_agree(const json_t *a, const char *a_path, const json_t *b, const char *b_path,
                           t2d_error *err);

/* A results file that is being written: one line per picture, each whole or not there. */
typedef struct t2d_results {
    int file;
    const char *path;
    int64_t bytes;
    double synced; /* when it was last sent down to the disk */
} t2d_results;
/* Makes the file, or goes on where it ends: its records are added to `tally`.  Another head is refused, and a
 * file that another process is writing. */
t2d_status t2d_results_open(t2d_results *results, const char *path, const json_t *head, t2d_tally *tally,
                            t2d_error *err);
t2d_status t2d_results_append(t2d_results *results, const t2d_record *record, t2d_error *err);
/* Down to the disk, and closed. */
t2d_status t2d_results_close(t2d_results *results, t2d_error *err);

/* The line of a record, with its end; the caller frees.  Writers of results share it. */
char *t2d_record_text(const t2d_record *record, t2d_error *err);

/* ---- shards put together (merge.c) ---- */

/* Adds up results files of one benchmark, run and model, each picture exactly once; `out` is the whole as one
 * file, or NULL.  *head is the first file's, for the whole; the caller releases both. */
t2d_status t2d_merge(const char *const *paths, int count, const char *out, json_t **head, t2d_tally *tally,
                     t2d_error *err);

/* ---- how sure is a number (bootstrap.c) ---- */

/* Sums over resampled pictures: in every round, each picture counts 0, 1, 2 ... times (Poisson with mean 1,
 * from seed, round and picture alone). */
typedef struct t2d_bootstrap {
    int rounds, labels;
    uint64_t seed;
    uint64_t *both, *any;  /* [rounds, labels] */
    t2d_class_count *room; /* [labels], zero */
} t2d_bootstrap;
t2d_status t2d_bootstrap_init(t2d_bootstrap *b, int rounds, int labels, uint64_t seed, t2d_error *err);
void t2d_bootstrap_release(t2d_bootstrap *b);
void t2d_bootstrap_add(t2d_bootstrap *b, const t2d_record *record);
double t2d_bootstrap_iou(const t2d_bootstrap *b, int round); /* mIoU; NaN when no picture was drawn */
/* The middle 95 % of values (NaNs left out; values are sorted); false when there are none. */
bool t2d_interval(double *values, int count, double *low, double *high);
int t2d_poisson(uint64_t seed, uint64_t round, uint64_t picture);

/* ---- the run (run.c, protocol.c) ---- */

typedef enum t2d_count_by {
    T2D_COUNT_AUTO, /* a machine whose memory is its own, else the host */
    T2D_COUNT_HOST,
    T2D_COUNT_MACHINE, /* up to T2D_MOST_COUNTED labels */
} t2d_count_by;

typedef struct t2d_eval_run {
    const t2d_listing *listing;
    t2d_session *session;
    const t2d_vocab *vocab;
    const t2d_segment_options *options;
    int64_t first, step;   /* pictures first, first + step, ... */
    int readers;           /* threads that read pictures */
    int together;          /* pictures segmented in one call; 0: as many as fill a pass of the machine */
    t2d_count_by counting; /* the integers are the same */
    int64_t most_failures; /* pictures that may fail */
    t2d_results *results;
    t2d_tally *tally; /* of what the results file holds already, and then of all */
    /* After every picture, with the sentence when it failed. */
    void (*watch)(void *context, const char *failed);
    /* Whether the run is to end, when what is being segmented has been counted; another thread asks. */
    bool (*stopped)(void *context);
    void *context;
} t2d_eval_run;
/* Counts what is not yet counted.  T2D_OK also when it was stopped.  A picture too many that cannot be read
 * ends it with that picture's sentence, and is not recorded. */
t2d_status t2d_eval(const t2d_eval_run *run, t2d_error *err);

/* What decided the numbers of a run: all that must agree between shards and resumed runs. */
typedef struct t2d_protocol {
    const t2d_preset *preset;
    const t2d_listing *listing;
    const t2d_engine_info *engine;
    const t2d_segment_options *options;
    const char *model;          /* file */
    const char *templates;      /* name, or file */
    const char *const *prompts; /* of the file, or NULL */
    int prompt_count;
} t2d_protocol;
/* {"decides": ..., "ran": ..., "shard": [first, step]} */
t2d_status t2d_protocol_head(const t2d_protocol *protocol, int64_t first, int64_t step, json_t **head,
                             t2d_error *err);
/* Sentences: in what a run with this head differs from the published measurement. */
json_t *t2d_differences(const json_t *head, const t2d_tally *tally);

/* ---- pictures for people (look.c) ---- */

/* What was found (left) and what is true (right) over a picture, with each label's IoU in the legend; PNG. */
t2d_status t2d_look_write(const char *path, const t2d_preset *preset, const t2d_sample *sample,
                          const t2d_mask *found, t2d_error *err);

/* The confusion matrix, rows the truth, columns what was found, shares of the row; PNG. */
t2d_status t2d_confusion_write(const char *path, const json_t *classes, const t2d_tally *tally,
                               t2d_error *err);

#endif
