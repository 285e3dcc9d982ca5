-- The frame budget that a person gave a camera: frames a second that vision looks at, at most, and its weight where a worker cannot look
-- at all that comes. A camera without a row has the common one (vision_max_fps).
CREATE TABLE camera_budget (
    camera text PRIMARY KEY,
    fps    double precision NOT NULL CHECK (fps > 0)
);
