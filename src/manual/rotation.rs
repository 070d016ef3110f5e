//! # How keys rotate without anybody noticing
//!
//! A signing key is replaced while verifiers all over the place hold copies of the key set. They fetched it when they
//! liked, they keep it as long as its cache header allows, and none of them asks before it verifies. A rotation is safe
//! if, at every moment, every copy that may still be in use contains every key that may have signed a token that may
//! still be alive. All the arithmetic below follows from this sentence.
//!
//! ## The life of a key
//!
//! | state | in the JWKS | signs | verifies | private part | leaves the state |
//! | --- | --- | --- | --- | --- | --- |
//! | prepared | yes | no | yes | stored | when it has been published for `publish_ahead` and its turn has come |
//! | active | yes, first | yes | yes | stored | when its successor is activated |
//! | retiring | yes | no | yes | stored | when the last token it signed has ended |
//! | retired | no | no | no | deleted | never |
//! | tainted | no | no | no, its tokens are refused | deleted | never |
//!
//! Each algorithm has one active key, and sealing has one; several algorithms may be active side by side. In the JWKS
//! the active key of the default algorithm stands first, because some readers stop at the first key of a type they do
//! not know. A key never goes back, with one exception: `mintgate keys activate` lets a *retiring* key sign again, to
//! undo a rotation. That is safe at any time, since every copy of the key set still has it.
//!
//! What is to be done is a pure function, [`plan`](crate::keys::plan::plan), of the records, the rules and the time. A
//! loop, [`rotator::run`](crate::keys::rotator::run), asks it twice a second and carries out what it says.
//!
//! ## The two intervals
//!
//! **Before it signs.** A key prepared at second `p` signs from `p + publish_ahead` on, never earlier. A copy of the key
//! set that lacks it was fetched before it was served. It may be used until its cache permission ends, so
//!
//! ```text
//! max-age + stale-while-revalidate + stale-if-error <= publish_ahead - margin
//! margin = max(2 s pickup + 1 s rounding, publish_ahead / 10)
//! ```
//!
//! - *pickup*: a command may prepare the key in another process; the server looks twice a second and promises two.
//! - *rounding*: records count whole seconds, so `p` may be almost a second earlier than the truth.
//! - *a tenth*: answers travel, and clocks of caches run at their own pace.
//!
//! The header is computed from `publish_ahead` by [`Caching::of`](crate::keys::caching::Caching::of), not configured
//! beside it, so the two cannot contradict each other. The sum of all three permissions is counted, although a cache
//! may use `stale-while-revalidate` and `stale-if-error` only from the same moment on (RFC 5861 sections 3 and 4).
//!
//! | `publish_ahead` | `max-age` | `stale-while-revalidate` | `stale-if-error` |
//! | --- | --- | --- | --- |
//! | 3 s or less | 0, `must-revalidate` | | |
//! | 10 s | 3 s | 1 s | 3 s |
//! | 1 h (default) | 18 min | 9 min | 27 min |
//! | 1 day | 1 h | 1 h | 19 h 36 min |
//!
//! A verifier that ignores the header and refetches only when it meets an unknown kid, but no more often than every
//! 30 s, is safe too whenever `publish_ahead` exceeds those 30 s: any fetch that could block the next one already
//! brought the new key.
//!
//! **After it signed.** A key deactivated at second `d` is published until
//!
//! ```text
//! d + the longest token lifetime ever allowed while it was active + 60 s
//! ```
//!
//! The lifetime is remembered in the key's record: lowering it in the configuration does not shorten the life of tokens
//! that are out already. The 60 seconds cover clocks that differ, and another gateway on the same directory that signs
//! with the old key until it notices. A sealing key counts the absolute lifetime of a family instead.
//!
//! ## The calendar
//!
//! With automatic rotation a key is replaced `rotate_every` after it became active; its successor is prepared
//! `publish_ahead` earlier. If `rotate_every` is shorter than `publish_ahead`, the overlap wins and the period becomes
//! `publish_ahead`. At most [`LIVING_MAX`](crate::keys::plan::LIVING_MAX) keys of one use live side by side; a period so
//! short that more would pile up makes rotation wait for the oldest to retire, and the log says so. RS256 keys are imported, not generated; when one is due the log says so, once an hour, and the old
//! key signs on.
//!
//! An algorithm that is added to the configuration of a running gateway is published first and signs after the
//! overlap; tokens are signed with the others meanwhile.
//!
//! Shortening `publish_ahead` is the one change that needs patience: copies fetched before it were given the longer
//! permission. Change it, wait for the old `publish_ahead` to pass, then rotate.
//!
//! ## Who has seen the key
//!
//! The intervals hold for caches that honour the header. Whether all do is not known from arithmetic, so it is counted:
//! every fetch of the key set notes which edition the verifier holds from then on (200, or 304), by the label that it
//! gives itself (`?v=NAME`), else by user agent and address. See [`census`](crate::keys::census); `mintgate keys census`
//! shows it.
//!
//! [`plan_with`](crate::keys::plan::plan_with) gets who lacks which prepared key as a fact. A key that is due waits while
//! a verifier with a label lacks it, `behind_wait_max` at most from the moment it was due; with `behind = "warn"` not at
//! all. Then it takes over, and the log names whom it leaves behind. `mintgate keys activate` asks the running gateway and
//! refuses meanwhile, unless `--force`. Three things bound what a stranger can do with invented labels: memory
//! (`verifiers_max`), the wait, and that nothing urgent waits: neither a taint nor a use without an active key.
//!
//! The census is a second belt, not the first: each gateway has its own, and it is written down when the gateway stops,
//! so one that crashed knows nobody. `publish_ahead` has passed in any case.
//!
//! ## A leak
//!
//! `mintgate keys taint KID` ends a key at once: out of the JWKS, private part deleted, every token that names it
//! refused by the gateway's own endpoints. In the same change another key takes over, the prepared one if there is one,
//! else a new one. Verifiers elsewhere go on trusting the leaked key until their copy of the key set ends: at most
//! `publish_ahead`, by default less than an hour, and 18 minutes where nothing serves stale. Tokens of the new
//! key may be refused by them just as long if no key was prepared; that is the price, and why one prepared key in stock
//! (`mintgate keys prepare`) is worth having.
//!
//! `mintgate keys rotate --now` replaces the key at once but lets the old one go on verifying. It is for a *suspicion*:
//! nobody is logged out. For a leak that is known, `taint`.
//!
//! A tainted or retired key never comes back: not by import, not by a restored backup of the directory.
//!
//! ## The directory
//!
//! `keyset.json` says which keys there are; each private part is a file of its own. Every change is made under an
//! advisory lock, on the newest manifest, in this order:
//!
//! 1. private parts of new keys are written (temporary file, fsync, rename, fsync of the directory); no manifest names them;
//! 2. the manifest is replaced the same way: here the change happens, all of it or nothing;
//! 3. private parts of keys that ended are deleted; no manifest names them.
//!
//! A crash leaves a file too many at most. After step 1 it is a private part that nobody names (`mintgate keys doctor`
//! points at it); after step 2 it is one of an ended key, which the next start deletes.
//!
//! A server takes a changed directory as a whole or not at all. A set that cannot be read whole, that lacks a key whose
//! tokens may be alive, or that brings back a key that had ended is refused: the log says why, and the old set stays in
//! service until the new one is mended.
