/* Rows, and the transactions on them that workers share: what core/tenter/store does. Included by place.pml. */

/* ------------------------------------------------------------------------------------------------ API database */

#define GONE 0                  /* the place row does not exist */
#define UNSCHEDULED 1
#define LOST 2                  /* no place was found: the server shows ERROR */
#define PLACED 3                /* PLACED + cell */
byte place = UNSCHEDULED;
byte record;                    /* while it is in no cell: which of the user's changes is the latest in its record */

/* ---------------------------------------------------- operations: 0 is the API database's, the others are the cells' */

#define ABSENT 0                /* state */
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define FAILED 4
#define CANCELLED 5

#define SCHEDULE 0              /* step; up to FINISH they are of role conductor */
#define CONFIRM 1
#define RESCHEDULE 2
#define FINISH 3
#define SPAWN 4
#define DESTROY 5

#define NOBODY 0                /* owner: 1 and 2 are conductors, 3 and 4 the computes of host 0 and 1 */
#define compute_of(h) (3 + (h))

typedef Operation { byte state; byte step; byte owner; byte attempt; bit cancel; byte host };

#define API 0
#define BUILD(c) (1 + (c))
#define DELETE(c) (1 + CELLS + (c))
#define OPERATIONS (1 + 2 * CELLS)
Operation op[OPERATIONS];

#define open(i) (op[i].state == QUEUED || op[i].state == RUNNING)
#define conducted(i) (op[i].step <= FINISH)

/* store.operations: the condition "blocked" (one before it in seq is still open) */
#ifdef M_NO_TURN
#define blocked(i) false
#else
#define blocked(i) ((i) > CELLS && open((i) - CELLS))
#endif

/* A lease is good while its holder renews it: Runner._renew does for what is in Runner._held, and a dead process does not.
 * The row that build.schedule puts into a cell is in nobody's _held. A living holder may be too slow, STALLS times. */
#define renewed(i) (held[op[i].owner] & (1 << (i)))

/* store.operations: the condition "expired" */
#ifdef M_NO_LEASE
#define takeable(i) true
#else
#define takeable(i) (op[i].owner == NOBODY || !renewed(i) || stalls)
#endif

#define free(i) (open(i) && takeable(i) && !blocked(i))

/* ----------------------------------------------------------------------------------- cell database: instances, claims */

#define BUILDING 0
#define ACTIVE 1
#define ERROR 2
#define NOHOST 9
#define BY_NONE 0               /* Instance.operation_uuid */
#define BY_BUILD 1
#define BY_DELETE 2

typedef Instance { bit there; byte vm; byte host; bit deleting; byte by };
Instance row[CELLS];
byte shown[CELLS];              /* which of the user's changes is the latest in the row: instances.CHANGEABLE */
byte claim[2];                  /* what the instance claims of each host */
bit failed[2];                  /* Operation.data["hosts"] */

/* --------------------------------------------------------------------------------------------------- the real world */

bit guest[2];                   /* the hypervisor of each host */
bit died[2];                    /* the compute of each host dies once */
byte conductors_left = 2;       /* and each conductor; they are alike, so which of them does not matter */
byte crashes = CRASHES;
byte held[5];                   /* by owner: Runner._held, a bit an operation; lost with the process */
byte stalls = STALLS;
bit late;                       /* the build's deadline has passed */
byte latest;                    /* how many changes of the user were accepted */
bit accepted;                   /* a delete was answered with 204 */

/* ------------------------------------------------------------------------------------------------------ store/claims */

inline give_back(c) {           /* claims.give_back */
    if :: cell_of(0) == c -> claim[0] = 0 :: else fi;
    if :: cell_of(1) == c -> claim[1] = 0 :: else fi
}

inline remove(c) {              /* instances.remove */
#ifndef M_NO_GIVE_BACK
    give_back(c);
#endif
    row[c].there = 0; row[c].vm = 0; row[c].host = 0; row[c].deleting = 0; row[c].by = 0;
    shown[c] = 0
}

/* -------------------------------------------------------------------------------------------------- store/operations */

inline end_row(i, how) { op[i].state = how; op[i].owner = NOBODY }

inline delete_row(i) {
    end_row(i, ABSENT); op[i].step = 0; op[i].attempt = 0; op[i].cancel = 0; op[i].host = 0
}

inline queue(i, next, on) {     /* Runner._write, when another step follows */
    op[i].state = QUEUED; op[i].step = next; op[i].host = on; op[i].owner = NOBODY
}

inline take(i) {                /* operations.claim; the worker's copy of the row is mine and cancelled */
    if
    :: op[i].owner != NOBODY && renewed(i) ->
        assert(stalls);                                 /* nobody takes what another holds under a good lease */
        stalls--
    :: else
    fi;
    op[i].state = RUNNING; op[i].owner = me; op[i].attempt++;
    mine = op[i].attempt; cancelled = op[i].cancel; held[me] = held[me] | (1 << (i));
    if :: i <= CELLS -> late = 1 :: true fi             /* the deadline of a build may pass; a delete has none */
}

/* operations.fenced */
#ifdef M_NO_FENCE
#define holds(i) (op[i].state == RUNNING)
#else
#define holds(i) (op[i].state == RUNNING && op[i].owner == me && op[i].attempt == mine)
#endif

/* build._swap; the worker knows which of the user's changes the row in the cell has */
inline swap(c) {
    behind = 0;
#ifdef M_PLAIN_SWAP
    place = PLACED + c; won = 1
#else
    if
#ifndef M_SWAP_BEHIND
    :: place == UNSCHEDULED && record != known -> behind = 1; known = record; won = 0
    :: place == UNSCHEDULED && record == known -> place = PLACED + c; won = 1
#else
    :: place == UNSCHEDULED -> place = PLACED + c; won = 1
#endif
    :: else -> won = 0
    fi
#endif
}

/* instances.lose_place */
inline lose_place() {
#ifdef M_PLAIN_LOSE
    place = LOST
#else
    if :: place == UNSCHEDULED -> place = LOST :: else fi
#endif
}

inline withdraw(c) { remove(c); delete_row(BUILD(c)) }

/* Build.on_error, at the end: ERROR with a fault */
inline end_in_error(c) {
#ifndef M_NO_GIVE_BACK_ERROR
    give_back(c);
#endif
    if
    :: row[c].by == BY_BUILD -> row[c].vm = ERROR; row[c].host = NOHOST; row[c].by = BY_NONE
    :: else
    fi;
    end_row(BUILD(c), FAILED)
}

inline task_of_build(c) {       /* instances.set_values(task_state="spawning"): whatever was there */
    row[c].deleting = 0;
    assert(row[c].by != BY_DELETE)                      /* an accepted delete never comes back to life */
}
